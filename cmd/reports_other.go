//go:build !unix

package cmd

import "github.com/tulle-go/tulle/engine"

// reports does nothing: there are no such signals here.
func reports(*engine.Engine, *screen) (stop func()) { return func() {} }
