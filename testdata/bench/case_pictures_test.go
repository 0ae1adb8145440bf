package main

import (
	"bytes"
	"hash/fnv"
	"image"
	"image/jpeg"
	"os"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/stretchr/testify/require"
)

func TestPhotographs(t *testing.T) {
	t.Parallel()
	hash := fnv.New64a()
	for i, file := range photographs() {
		require.Greater(t, len(file), 100_000, "photograph %d", i)
		require.Less(t, len(file), 200_000, "photograph %d", i)
		m, err := jpeg.Decode(bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, photographWide, photographHigh), m.Bounds())
		require.Equal(t, image.YCbCrSubsampleRatio420, m.(*image.YCbCr).SubsampleRatio)
	}
	for picture := range 2 * photographKinds {
		file := appendPhotograph(nil, photographs(), picture)
		_, err := jpeg.DecodeConfig(bytes.NewReader(file))
		require.NoError(t, err, "picture %d", picture)
		require.NotEqual(t, file, appendPhotograph(nil, photographs(), picture+photographKinds))
	}
	for kind := range photographKinds {
		m := photograph(kind)
		for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
			hash.Write(plane)
		}
	}
	require.Equal(t, uint64(0x61a4fcc84c9eb13c), hash.Sum64(), "figures of one version of this program are compared with another's: the photographs stay as they are")
}

func TestPicturesSite(t *testing.T) {
	t.Parallel()
	s := picturesSite(21)
	require.Equal(t, 23, s.pages)
	for path, want := range map[string]int{"/p/0": 0, "/p/1": 1, "/p/2": -1, "/p/0.jpg": 2, "/p/20.jpg": 22, "/p/21.jpg": -1, "/p/x.jpg": -1, "/robots.txt": -1} {
		require.Equal(t, want, s.find(nil, []byte(path)), path)
	}
	var r reply
	s.show(1, &r)
	require.Contains(t, string(r.body), `src="/p/20.jpg"`)
	require.NotContains(t, string(r.body), `class="next"`)
}

// goodPictures stores a run as it is to be.
func goodPictures(t *testing.T) outcome {
	t.Helper()
	o := outcome{Job: job{N: 3, Addr: "127.0.0.1:1", Folder: t.TempDir()}}
	o.Result.Items, o.Result.ItemSum = followItems(3)
	require.NoError(t, makePictureFolders(o.Job))
	for picture := range 3 {
		require.NoError(t, barePicture(o.Job, o.Job.url(picture)+".jpg", appendPhotograph(nil, photographs(), picture)))
	}
	return o
}

func TestPicturesFaults(t *testing.T) {
	t.Parallel()
	address := func(o outcome) string { return o.Job.url(1) + ".jpg" }
	thumb := func(t *testing.T, o outcome, change func(image.Image) image.Image) {
		name := thumbFile(o.Job, "big", address(o))
		m, err := imaging.Open(name)
		require.NoError(t, err)
		require.NoError(t, imaging.Save(change(m), name))
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, o outcome)
		want  []string
	}{
		"nothing": {func(*testing.T, outcome) {}, nil},
		"missing picture": {func(t *testing.T, o outcome) {
			require.NoError(t, os.Remove(pictureFile(o.Job, address(o))))
		}, []string{"2 of 3 pictures"}},
		"another picture": {func(t *testing.T, o outcome) {
			require.NoError(t, os.WriteFile(pictureFile(o.Job, address(o)), appendPhotograph(nil, photographs(), 4), 0o644))
		}, []string{"1 pictures are not what was sent"}},
		"missing thumbnail": {func(t *testing.T, o outcome) {
			require.NoError(t, os.Remove(thumbFile(o.Job, "small", address(o))))
		}, []string{"5 of 6 thumbnails"}},
		"smaller thumbnail": {func(t *testing.T, o outcome) {
			thumb(t, o, func(m image.Image) image.Image { return imaging.Resize(m, 270, 202, imaging.Lanczos) })
		}, []string{"5 of 6 thumbnails"}},
		"blurred thumbnail": {func(t *testing.T, o outcome) {
			thumb(t, o, func(m image.Image) image.Image { return imaging.Blur(m, 1) })
		}, []string{"a thumbnail of "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := goodPictures(t)
			tt.spoil(t, o)
			require.NoError(t, inspectPictures(&o))
			faults := picturesFaults(o)
			require.Len(t, faults, len(tt.want), "%q", faults)
			for i, want := range tt.want {
				require.Contains(t, faults[i], want)
			}
		})
	}
}
