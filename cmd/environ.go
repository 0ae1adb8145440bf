package cmd

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// Settings in the environment: TULLE_IMAGES_STORE is images.store.

// environmentPrefix is what the variables' names begin with.
const environmentPrefix = "TULLE_"

// configVariable names the settings file, as --config does.
const configVariable = "TULLE_CONFIG"

// environmentName is the variable for a setting.
func environmentName(setting string) string {
	return environmentPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(setting))
}

// fromEnvironment reads settings from variables, each NAME=value as os.Environ has them. Underscores in a variable stand for dots or underscores in a setting: no two
// settings differ in these alone. Scrapy's names are understood where no setting of ours is called that. An empty variable counts as one that is not set.
//
// A variable that is no setting is a warning and not an error: it may be another program's. TULLE_TEST_ is for tests.
func fromEnvironment(environ []string, warn func(string)) ([]crawl.Assignment, error) {
	var (
		found []crawl.Assignment
		errs  []error
		names map[string]string // by their joined ones
		maps  []string          // the names that are maps
	)
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		variable, value, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(variable, environmentPrefix)
		if !ok || rest == "" || strings.TrimSpace(value) == "" || strings.HasPrefix(rest, "TEST_") || variable == configVariable {
			continue
		}
		if names == nil {
			all, err := crawl.Settings{}.Explain(nil)
			if err != nil {
				return nil, err
			}
			names = make(map[string]string, len(all))
			for _, s := range all {
				names[joined(s.Name)] = s.Name
				if strings.HasPrefix(s.Kind, "map") {
					maps = append(maps, s.Name)
				}
			}
		}
		name := names[joined(rest)]
		if name == "" {
			name = rest
			if _, entry, err := crawl.SettingName(name); err != nil || entry != "" {
				if of := mapOf(rest, maps); of != "" {
					err = fmt.Errorf("an entry of %s has no variable of its own: %s sets all of them", of, environmentName(of))
				}
				warn(fmt.Sprintf("%s in the environment sets nothing: %s", variable, asVariables(err)))
				continue
			}
		}
		var scratch crawl.Settings
		if err := scratch.Set(name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s=%s: %w", variable, (crawl.Explained{Name: name, Value: value}).Shown(), err))
			continue
		}
		found = append(found, crawl.Assignment{Name: name, Value: value, Source: variable})
	}
	return found, errors.Join(errs...)
}

// asVariables is an error that suggests settings, with the variables for them.
func asVariables(err error) string {
	text := err.Error()
	before, names, ok := strings.Cut(text, "did you mean ")
	if !ok || strings.Contains(names, " which ") {
		return text
	}
	return before + "did you mean " + settingWord.ReplaceAllStringFunc(names, func(word string) string {
		if word == "or" {
			return word
		}
		return environmentName(word)
	})
}

// mapOf is the setting of which a variable's name, without the prefix, names an entry; "" if it names none.
func mapOf(rest string, maps []string) string {
	as := strings.NewReplacer(".", "_")
	for _, name := range maps {
		if strings.HasPrefix(strings.ToLower(as.Replace(rest)), as.Replace(name)+"_") {
			return name
		}
	}
	return ""
}

// settingWord is a name in a list of them.
var settingWord = regexp.MustCompile(`[\w.]+`)

// joined is a name without what stands between its words.
func joined(name string) string {
	return strings.ToLower(strings.NewReplacer(".", "", "_", "").Replace(name))
}
