# make prints what there is to make.
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

test: ## run all tests, as the README has it
	go test ./...

race: ## run all tests with the race detector
	go test -race ./...

kill: ## kill a crawl a hundred times and a job before every write, and compare what is left; TULLE_KILLS and TULLE_KILL_SEED as in cmd/kill_test.go
	TULLE_KILLS=$${TULLE_KILLS:-100} go test -count=1 -timeout 20m -v -run 'TestKill$$' ./cmd
	TULLE_CUTS=all go test -count=1 -v -run 'TestPowerCut$$' ./scheduler/jobdir

lint: ## go vet and the linters
	go vet ./...
	go tool -modfile=.ci/go.mod golangci-lint run ./...

bench: ## compare with a bare loop and with Colly; prints the table of the README
	cd testdata/bench && go run . -markdown

shop: ## crawl the bundled shop
	go run ./cmd/tulle crawl shop

ci: ## all that a change must pass
	.ci/run

.PHONY: help test race kill lint bench shop ci
