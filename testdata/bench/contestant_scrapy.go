package main

import (
	"context"
	_ "embed"
	"os/exec"
)

// scrapyProgram is the Scrapy contestant: a Python program that reads a job from its input and prints a result, as the
// child processes of this program do.
//
//go:embed contestant_scrapy.py
var scrapyProgram string

// scrapyMissing says why a Python cannot run Scrapy, or "" if it can.
func scrapyMissing(ctx context.Context, python string) string {
	if python == "" {
		return "-scrapy-python names no interpreter"
	}
	if err := exec.CommandContext(ctx, python, "-c", "import scrapy").Run(); err != nil {
		return "the interpreter of -scrapy-python cannot import it"
	}
	return ""
}
