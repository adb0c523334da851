package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The columns of a whitelist.
const (
	nameColumn    = "Name"
	keyColumn     = "ApiKey"
	hashColumn    = "ApiKeySha256"
	createdColumn = "CreatedAt"
)

var columnNames = []string{nameColumn, keyColumn, hashColumn, createdColumn}

// row is one line of a whitelist. It holds no key.
type row struct {
	line    int
	name    string
	digest  [sha256.Size]byte
	created string
}

// table is a whitelist as it is written.
type table struct {
	rows       []row
	hasCreated bool

	columns map[string]int
	lines   map[[sha256.Size]byte]int // of digests
	// Keys that are written as a SHA-256 is, by the digest that they would be.
	suspects map[[sha256.Size]byte]int
}

// readTable reads a whitelist. No error quotes the file: what stands where a name should may be a key.
func readTable(text []byte) (*table, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r := csv.NewReader(bytes.NewReader(text))
	header, err := r.Read()
	if err != nil {
		return nil, csvError(err)
	}
	t := &table{lines: map[[sha256.Size]byte]int{}, suspects: map[[sha256.Size]byte]int{}}
	if t.columns, err = readColumns(header); err != nil {
		return nil, fmt.Errorf("line %d: %w", line(r), err)
	}
	_, t.hasCreated = t.columns[createdColumn]
	r.ReuseRecord = true
	for {
		fields, err := r.Read()
		if err == io.EOF {
			break
		}
		if errors.Is(err, csv.ErrFieldCount) {
			return nil, fmt.Errorf("line %d: got %d fields, want %d as in the header", line(r), len(fields), len(header))
		}
		if err != nil {
			return nil, csvError(err)
		}
		if err := t.add(line(r), fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", line(r), err)
		}
	}
	return t, t.check(text)
}

// line is where the record that was read last begins.
func line(r *csv.Reader) int {
	l, _ := r.FieldPos(0)
	return l
}

// checkText refuses what is no text of ours as a whole.
func checkText(text []byte) error {
	switch {
	case len(text) > MaxWhitelist:
		return fmt.Errorf("the list has %d bytes, at most %d are read", len(text), MaxWhitelist)
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		return errors.New("line 1: the list is in UTF-16, want UTF-8")
	case len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) == 0:
		return errors.New("line 1: the list is empty, as a file is that was caught half written; want a header with Name and ApiKey")
	case utf8.Valid(text):
		return nil
	}
	for i, l := range bytes.Split(text, []byte("\n")) {
		if !utf8.Valid(l) {
			return fmt.Errorf("line %d: not UTF-8", i+1)
		}
	}
	return errors.New("not UTF-8")
}

// csvError says what is wrong with the form.
func csvError(err error) error {
	var at *csv.ParseError
	switch {
	case !errors.As(err, &at):
		return err
	case errors.Is(err, csv.ErrQuote):
		return fmt.Errorf("line %d: a quote is not closed, or has text behind it; a quote in a field is written twice", at.StartLine)
	}
	return fmt.Errorf("line %d: %w", at.StartLine, at.Err)
}

// readColumns returns where the columns are.
func readColumns(header []string) (map[string]int, error) {
	columns := map[string]int{}
	for i, name := range header {
		_, twice := columns[name]
		switch {
		case twice:
			return nil, fmt.Errorf("column %s stands twice", name)
		case !slices.Contains(columnNames, name):
			return nil, fmt.Errorf("column %d is none of %s%s", i+1, strings.Join(columnNames, ", "), columnHint(name))
		}
		columns[name] = i
	}
	_, named := columns[nameColumn]
	_, keyed := columns[keyColumn]
	_, hashed := columns[hashColumn]
	switch {
	case !named:
		return nil, fmt.Errorf("column %s is missing", nameColumn)
	case keyed && hashed:
		return nil, fmt.Errorf("columns %s and %s are both there, want one of the two", keyColumn, hashColumn)
	case !keyed && !hashed:
		return nil, fmt.Errorf("column %s is missing, or %s", keyColumn, hashColumn)
	}
	return columns, nil
}

// columnHint says what a column may have been meant to be. It doesn't quote
// it: in a list without a header a key stands there.
func columnHint(name string) string {
	if strings.ContainsAny(name, ";\t|") {
		return "; want commas between columns"
	}
	for _, known := range columnNames {
		if strings.EqualFold(strings.TrimSpace(name), known) {
			return "; want exactly " + known
		}
	}
	return ""
}

// add reads a line.
func (t *table) add(line int, fields []string) error {
	if len(t.rows) == MaxKeys {
		return fmt.Errorf("the list has more than %d keys", MaxKeys)
	}
	// Cloned, since all fields of a line share one text, and so the key would stay in memory with the name.
	r := row{line: line, name: strings.Clone(fields[t.columns[nameColumn]])}
	if strings.ContainsFunc(r.name, unicode.IsControl) {
		return errors.New("the name has a control character")
	}
	if t.hasCreated {
		r.created = strings.Clone(fields[t.columns[createdColumn]])
	}
	var err error
	if i, ok := t.columns[hashColumn]; ok {
		r.digest, err = readDigest(fields[i])
	} else {
		r.digest, err = t.readKey(line, fields[t.columns[keyColumn]])
	}
	if err != nil {
		return err
	}
	if first, twice := t.lines[r.digest]; twice {
		return fmt.Errorf("the key is that of line %d as well", first)
	}
	t.lines[r.digest] = line
	t.rows = append(t.rows, r)
	return nil
}

// readKey accepts keys that a header can have.
func (t *table) readKey(line int, key string) (digest [sha256.Size]byte, err error) {
	switch {
	case key == "":
		return digest, errors.New("the key is empty")
	case len(key) > MaxKey:
		return digest, fmt.Errorf("the key has %d bytes, at most %d are accepted", len(key), MaxKey)
	case strings.TrimSpace(key) != key:
		return digest, errors.New("the key begins or ends with space, which no header's value does")
	case strings.ContainsFunc(key, unicode.IsControl):
		return digest, errors.New("the key has a control character, which no header's value has")
	}
	if len(key) == hex.EncodedLen(sha256.Size) {
		if suspect, err := readDigest(key); err == nil {
			t.suspects[suspect] = line
		}
	}
	return sha256.Sum256([]byte(key)), nil
}

var emptyDigest = sha256.Sum256(nil)

func readDigest(text string) (digest [sha256.Size]byte, err error) {
	if len(text) != hex.EncodedLen(len(digest)) {
		return digest, fmt.Errorf("%s has %d characters, want 64 hex digits", hashColumn, len(text))
	}
	if _, err := hex.Decode(digest[:], []byte(text)); err != nil {
		return digest, fmt.Errorf("%s is not 64 hex digits", hashColumn)
	}
	if digest == emptyDigest {
		return digest, fmt.Errorf("%s is that of an empty key", hashColumn)
	}
	return digest, nil
}

// check looks at the list as a whole.
func (t *table) check(text []byte) error {
	if len(t.rows) == 0 {
		return fmt.Errorf("line 1: %w: it would let nobody in", ErrNoKeys)
	}
	// The hash of a key is less secret than the key, and would be one itself.
	for digest, line := range t.suspects {
		if other, ok := t.lines[digest]; ok {
			return fmt.Errorf("line %d: the key is the SHA-256 of the one in line %d; hashes stand under %s", line, other, hashColumn)
		}
	}
	// The beginning of a key is another key, easily guessed, and that of a name may be a name with other rights. A
	// hash has its length, and what was created when decides nothing.
	for column, what := range map[string]string{keyColumn: "key", nameColumn: "name"} {
		if at, ok := t.columns[column]; ok && at == len(t.columns)-1 && text[len(text)-1] != '\n' {
			return fmt.Errorf("line %d: the %s ends with the file and may be cut off; end the line", t.rows[len(t.rows)-1].line, what)
		}
	}
	return nil
}
