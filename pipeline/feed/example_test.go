package feed_test

import (
	"fmt"
	"os"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/feed"
)

func ExampleReadCSV() {
	type Book struct {
		Title string   `json:"title"`
		Tags  []string `json:"tags"`
		Pages *int     `json:"pages"`
	}
	file, err := os.Open("testdata/books.csv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	for book, err := range feed.ReadCSV[Book](file, crawl.CSVFeed{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q %q %t\n", book.Title, book.Tags, book.Pages == nil)
	}
	// Output:
	// "Emma" ["novel" "1815"] false
	// "Persuasion, and \"more\"" [] true
}
