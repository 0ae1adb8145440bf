# make prints what there is to make.
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

test: ## run all tests, as the README has it
	go test ./...

race: ## run all tests with the race detector
	go test -race ./...

lint: ## go vet and the linters
	go vet ./...
	go tool -modfile=.ci/go.mod golangci-lint run ./...

bench: ## compare with a bare loop and with Colly; prints the table of the README
	cd testdata/bench && go run . -markdown

shop: ## crawl the bundled shop
	go run ./cmd/tulle crawl shop

ci: ## all that a change must pass
	.ci/run

.PHONY: help test race lint bench shop ci
