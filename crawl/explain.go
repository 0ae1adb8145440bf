package crawl

//go:generate go run ./internal/settingdocs settings.go settingdocs.go

// Explained is one setting as `tulle settings` shows it.
type Explained struct {
	// Name is the setting's, in snake case: what [Settings.Set] takes.
	Name string `json:"name"`
	// Value and Default are texts that Set takes. An empty one is an empty string, list or map.
	Value   string `json:"value"`
	Default string `json:"default"`
	// Source is the layer that Value comes from: "default", "program", "spider NAME", or an Assignment's Source.
	Source string `json:"source"`
	// Doc says in one line what the setting is for.
	Doc string `json:"doc"`
}

// Explain lists all settings that have a name, in the order of the struct, with their effective values and where these come from. A layer that gives a setting the
// value that it has already does not count as its source. spider may be nil. The error is that of [Settings.Effective].
func (s Settings) Explain(spider *Spider) ([]Explained, error) {
	var (
		d    Settings
		list []Explained
		all  = make([]setting, 0, len(settings()))
	)
	d.setDefaults()
	for _, f := range settings() {
		if !f.goOnly {
			text := f.format(f.in(&d))
			all = append(all, f)
			list = append(list, Explained{Name: f.name, Value: text, Default: text, Source: "default", Doc: f.doc})
		}
	}
	_, err := s.layers(spider, func(source string, layer *Settings) {
		l := *layer
		l.setDefaults()
		for i, f := range all {
			if v := f.format(f.in(&l)); v != list[i].Value {
				list[i].Value, list[i].Source = v, source
				if v == list[i].Default {
					list[i].Source = "default"
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}
