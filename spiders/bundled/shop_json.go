package bundled

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// perAPIPage is how many products a page of the API has at most, and unless asked for fewer.
const perAPIPage = 50

// apiProduct is a product in the API.
type apiProduct struct {
	URL      string   `json:"url"`
	Title    string   `json:"title"`
	SKU      string   `json:"sku"`
	Price    apiPrice `json:"price"`
	Stock    int      `json:"stock"`
	Category string   `json:"category"`
	Pictures []string `json:"pictures"`
}

type apiPrice struct {
	Amount   json.Number `json:"amount"`
	Currency string      `json:"currency"`
}

// api answers /api/products?cursor=51&limit=50. A page tells the address of the next one; a cursor is none of the caller's business.
func (s *Site) api(w http.ResponseWriter, r *http.Request) {
	number := func(name string, otherwise, most int) (int, bool) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return otherwise, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= 1 && n <= most
	}
	limit, okLimit := number("limit", perAPIPage, perAPIPage)
	first, okCursor := number("cursor", 1, s.shelf.products)
	if !okLimit || !okCursor {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"title":"cursor and limit are those that an earlier page told"}` + "\n")) // The client has gone if this fails.
		return
	}
	page := struct {
		Total    int          `json:"total"`
		Products []apiProduct `json:"products"`
		Next     string       `json:"next,omitempty"`
	}{Total: s.shelf.products, Products: []apiProduct{}}
	last := min(first+limit-1, s.shelf.products)
	for n := first; n <= last; n++ {
		it := s.shelf.item(n)
		data := it.linkedData(new(it.product()))
		page.Products = append(page.Products, apiProduct{
			URL: data.URL, Title: data.Name, SKU: data.SKU, Price: apiPrice{json.Number(data.Offers.Price), data.Offers.Currency}, Stock: it.stock,
			Category: data.Category, Pictures: data.Image,
		})
	}
	if last < s.shelf.products {
		page.Next = absolute("/api/products?cursor=" + strconv.Itoa(last+1))
		if limit != perAPIPage {
			page.Next += "&limit=" + strconv.Itoa(limit)
		}
	}
	body, err := json.MarshalIndent(page, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, "application/json", remade, append(body, '\n'))
}
