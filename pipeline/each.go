package pipeline

import (
	"context"
	"errors"
	"reflect"

	"github.com/tulle-go/tulle/crawl"
)

// Each is a stage for the items of one type, which is usually a pointer to a struct:
//
//	crawl.Stage{Order: 100, Pipeline: pipeline.Each(func(ctx context.Context, b *Book) (*Book, error) {
//		if b.Price == "" {
//			return nil, crawl.DropItem("no price")
//		}
//		return b, nil
//	})}
//
// Items of other types pass untouched. Items are pointers when they reach the pipelines, so if T is a struct, f is given what a *T points to, and what it returns is
// put back there. A nil result without an error is an error.
func Each[T any](f func(ctx context.Context, item T) (T, error)) crawl.Pipeline { return each[T](f) }

type each[T any] func(context.Context, T) (T, error)

// Process implements [crawl.Pipeline].
func (f each[T]) Process(ctx context.Context, item any) (any, error) {
	switch v := item.(type) {
	case T:
		out, err := f(ctx, v)
		if err != nil {
			return nil, err
		}
		if isNil(out) {
			return nil, errNoItem
		}
		return out, nil
	case *T:
		if v == nil {
			return item, nil
		}
		out, err := f(ctx, *v)
		if err != nil {
			return nil, err
		}
		*v = out
	}
	return item, nil
}

// String is the stage's name in logs.
func (f each[T]) String() string { return "pipeline.Each[" + reflect.TypeFor[T]().String() + "]" }

var errNoItem = errors.New("no item was returned, and no error (crawl.DropItem drops an item)")

func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return rv.IsNil()
	}
	return false
}
