package sink

// Judge is what is done about an error, in a word.
func Judge(err error) string {
	return map[trouble]string{troubleRow: "row", troubleBusy: "again", troubleAll: "all", troubleOpen: "ask"}[judge(err)]
}
