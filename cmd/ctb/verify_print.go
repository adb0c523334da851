package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

var verdicts = map[string]report.Verdict{ok: report.Pass, no: report.Fail, notChecked: report.Warn}

// print writes the answer for people to read.
func (a *answer) print(w *report.Writer) error {
	w.Title("Token, judged at " + show(a.At))
	keyPart := false
	for _, c := range a.Checks {
		switch c.Name {
		case "evidence", "collateral", "certificate", "policy", "key":
			if !keyPart {
				w.Heading("Key that signed it")
				keyPart = true
			}
		}
		detail := c.Detail
		if c.Result == notChecked {
			detail = "not checked: " + detail
		}
		w.Check(verdicts[c.Result], c.Name, detail)
		if c.Fix != "" {
			w.Fix(c.Fix)
		}
	}
	if a.Accepted {
		printClaims(w, a.Claims)
		w.Verdict(report.Pass, "valid"+a.provisos())
	} else {
		w.Verdict(report.Fail, "not valid")
	}
	return w.Err()
}

// provisos names what was not asked.
func (a *answer) provisos() string {
	var names []string
	for _, c := range a.Checks {
		if c.Result == notChecked {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", but not checked: " + strings.Join(names, ", ")
}

// printClaims writes the claims in the order in which the token has them.
func printClaims(w *report.Writer, claims []byte) {
	w.Heading("What it says")
	d := json.NewDecoder(bytes.NewReader(claims))
	if _, err := d.Token(); err != nil {
		return
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return
		}
		text, isString := "", false
		var s string
		if json.Unmarshal(value, &s) == nil {
			text, isString = s, true
		}
		if !isString {
			text = string(value)
		}
		w.Row(name.(string), text)
	}
}
