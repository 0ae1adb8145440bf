package jsonfield_test

import (
	"encoding/json"
	"math/big"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/pipeline/internal/jsonfield"
)

type Base struct {
	ID    int
	Name  string
	Both  int `json:"both"`
	Other int
}

type Pointed struct {
	Deep  string
	Both  int `json:"both"`
	Other int `json:"Other"`
}

type hidden struct{ Seen int }

type hiddenToo struct{ SeenToo int }

type Named string

type Recursive struct {
	*Recursive
	R int
}

type all struct {
	Base
	*Pointed
	hidden
	*hiddenToo
	Named
	*Recursive
	Tagged   Base   `json:"tagged"`
	Name     string `json:"Name,omitempty"`
	Bad      int    `json:"a\"b"` //nolint:staticcheck // such tags have to be read as encoding/json does
	Dash     int    `json:"-,"`   //nolint:staticcheck // the same
	Gone     int    `json:"-"`
	Count    int    `json:",string"`
	Text     *string
	NoEffect []int     `json:",string"` //nolint:staticcheck // the same
	When     time.Time `json:"when,omitzero"`
	private  int
}

// TestAsJSON holds the names, their order, and what is left out against encoding/json.
func TestAsJSON(t *testing.T) {
	t.Parallel()
	for _, item := range []all{
		{private: 1},
		{Pointed: new(Pointed), Recursive: new(Recursive), hiddenToo: new(hiddenToo), Name: "x", When: time.Unix(1, 0)},
	} {
		b, err := json.Marshal(item)
		require.NoError(t, err)
		var want, got []string
		gjson.ParseBytes(b).ForEach(func(k, _ gjson.Result) bool {
			want = append(want, k.String())
			return true
		})
		rv := reflect.ValueOf(item)
		for _, f := range jsonfield.Of(rv.Type()) {
			if v := f.Value(rv); v.IsValid() && !f.Omitted(v) {
				got = append(got, f.Name)
				require.Equal(t, f.Type, v.Type())
				require.Equal(t, f.Name == "Count", f.Quoted, f.Name)
			}
		}
		require.Equal(t, want, got)
	}
}

func TestWrites(t *testing.T) {
	t.Parallel()
	require.True(t, jsonfield.WritesText(reflect.TypeFor[big.Int]()), "by a pointer to it")
	require.True(t, jsonfield.WritesJSON(reflect.TypeFor[*time.Time]()))
	require.True(t, jsonfield.WritesJSON(reflect.TypeFor[json.RawMessage]()))
	require.False(t, jsonfield.WritesJSON(reflect.TypeFor[url.URL]()))
	require.False(t, jsonfield.WritesText(reflect.TypeFor[url.URL]()))
}
