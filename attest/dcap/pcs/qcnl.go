package pcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// QCNLPath is where Intel's libraries, and many a cloud image, have their configuration.
const QCNLPath = "/etc/sgx_default_qcnl.conf"

// maxQCNL bounds the file, in bytes; those in use have some 3 KiB.
const maxQCNL = 64 << 10

// QCNL is what a configuration of Intel's quote provider library says of
// collateral. It is another program's file: keys that are none of these are ignored.
type QCNL struct {
	PCCSURL           string // pccs_url
	CollateralService string // collateral_service, which wins over pccs_url
	UseSecureCert     bool   // use_secure_cert: true unless the file says false
	TCBUpdateType     string // tcb_update_type: "standard", "early", or empty
	PCCSAPIVersion    string // pccs_api_version, such as "3.1"; a client that reads every form of a CRL has no use for it
}

// ParseQCNL reads either form of the file, of at most 64 KiB: a JSON object with
// // and /* */ comments (but no commas at an end, as in Intel's library), or the older lines
// PCCS_URL=…, with # comments. A key of ours with a value of the wrong type,
// or that comes twice, is an error that names its line.
func ParseQCNL(data []byte) (*QCNL, error) {
	if len(data) > maxQCNL {
		return nil, fmt.Errorf("qcnl.conf: got %d bytes, want at most %d", len(data), maxQCNL)
	}
	text := withoutComments(data)
	q := &QCNL{UseSecureCert: true}
	read := q.readLines
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		read, data = q.readJSON, text
	}
	if err := read(data); err != nil {
		return nil, fmt.Errorf("qcnl.conf: %w", err)
	}
	q.TCBUpdateType = strings.ToLower(q.TCBUpdateType)
	if u := q.TCBUpdateType; u != "" && u != "standard" && u != "early" {
		return nil, fmt.Errorf("qcnl.conf: tcb_update_type: got %q, want \"standard\" or \"early\"", u)
	}
	return q, nil
}

// URL is the base URL of the service that has collateral.
func (q *QCNL) URL() (string, error) {
	switch {
	case q.CollateralService != "":
		return q.CollateralService, nil
	case q.PCCSURL != "":
		return q.PCCSURL, nil
	}
	return "", errors.New("qcnl.conf: it has neither collateral_service nor pccs_url")
}

// field returns where the value of a key goes; nil for a key that is none of ours.
func (q *QCNL) field(key string) any {
	switch key {
	case "pccs_url":
		return &q.PCCSURL
	case "collateral_service":
		return &q.CollateralService
	case "use_secure_cert":
		return &q.UseSecureCert
	case "tcb_update_type":
		return &q.TCBUpdateType
	case "pccs_api_version":
		return &q.PCCSAPIVersion
	}
	return nil
}

// readJSON reads the JSON form, of which comments are spaces.
func (q *QCNL) readJSON(text []byte) error {
	var whole json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, &whole); errors.As(err, &syntax) {
		return fmt.Errorf("line %d: malformed JSON: %w", lineOf(text, syntax.Offset), err)
	} else if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		line := lineOf(text, d.InputOffset())
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		field := q.field(key)
		if field == nil {
			continue
		}
		if seen[key] {
			return fmt.Errorf("line %d: %s comes twice", line, key)
		}
		seen[key] = true
		if err := assign(field, value); err != nil {
			return fmt.Errorf("line %d: %s: %w", line, key, err)
		}
	}
	return nil
}

// assign is strict where encoding/json is not: null is no value.
func assign(field any, value json.RawMessage) error {
	want := "a string"
	if _, ok := field.(*bool); ok {
		want = "true or false"
	}
	if string(value) == "null" || json.Unmarshal(value, field) != nil {
		return fmt.Errorf("got %.40q, want %s", value, want)
	}
	return nil
}

// readLines reads the older form. Like Intel's library it takes out all white space.
func (q *QCNL) readLines(text []byte) error {
	seen := map[string]bool{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.Join(strings.Fields(line), "")
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || name != strings.ToUpper(name) {
			continue
		}
		key := strings.ToLower(name)
		field := q.field(key)
		if field == nil {
			continue
		}
		if seen[key] {
			return fmt.Errorf("line %d: %s comes twice", number, name)
		}
		seen[key] = true
		switch field := field.(type) {
		case *string:
			*field = value
		case *bool:
			lower := strings.ToLower(value)
			if lower != "true" && lower != "false" {
				return fmt.Errorf("line %d: %s: got %.40q, want TRUE or FALSE", number, name, value)
			}
			*field = lower == "true"
		}
	}
	return nil
}

// withoutComments returns the text with spaces in place of // and /* */
// comments outside of strings, so that every other byte keeps its line.
func withoutComments(data []byte) []byte {
	text := bytes.Clone(data)
	for i := 0; i < len(text); {
		end := i + 1
		switch {
		case text[i] == '"':
			end = endOfString(text, i)
		case bytes.HasPrefix(text[i:], []byte("//")):
			end = blank(text, i, "\n", 0)
		case bytes.HasPrefix(text[i:], []byte("/*")):
			end = blank(text, i, "*/", 2)
		}
		i = end
	}
	return text
}

// endOfString returns what follows the string that begins at i.
func endOfString(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"' && text[i] != '\n'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// blank overwrites the comment at i, up to the mark and so many bytes of it, and returns what follows.
func blank(text []byte, i int, mark string, ofMark int) int {
	end := len(text)
	if n := bytes.Index(text[i+2:], []byte(mark)); n >= 0 {
		end = i + 2 + n + ofMark
	} else if ofMark > 0 {
		return end // a comment without its end stays, and is malformed JSON
	}
	for ; i < end; i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
	return end
}

// lineOf returns the line, from 1 on, of the byte before the offset.
func lineOf(text []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(text)))
	return 1 + bytes.Count(text[:offset], []byte("\n"))
}
