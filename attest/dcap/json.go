package dcap

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	maxNames = 32 // of one JSON object
	maxDepth = 16 // of nested values that are skipped
)

// document reads JSON that Intel signs, in one pass and one way only: names
// are exact, no name comes twice or in two spellings of case, numbers are whole, and strings
// are printable ASCII without escapes, as Intel writes them. What the
// standard library reads more loosely is refused here, so that no two readers can
// see different facts under one signature.
type document struct {
	text  string
	pos   int
	depth int
}

// names are the members of an object. Others are skipped, since Intel adds some
// from time to time, but not one that differs from these by case alone; an
// object that is closed has no others.
type names struct {
	required, optional []string
	closed             bool
}

// fieldError says where in a document something is wrong.
type fieldError struct {
	path string // such as "tcbLevels[3].tcb.pcesvn"
	err  error
}

func (e *fieldError) Error() string { return e.path + ": " + e.err.Error() }

// in puts the name of an object's member, or the "[3]" of an array, before the path of an error.
func in(name string, err error) error {
	if inner, ok := err.(*fieldError); ok {
		if !strings.HasPrefix(inner.path, "[") {
			name += "."
		}
		return &fieldError{name + inner.path, inner.err}
	}
	return &fieldError{name, err}
}

// readDocument reads text as one JSON object and nothing else but white space.
func readDocument(text string, n names, member func(d *document, name string) error) error {
	d := &document{text: text}
	if err := d.object(n, func(name string) error { return member(d, name) }); err != nil {
		return err
	}
	if d.space(); d.pos != len(d.text) {
		return fmt.Errorf("something follows the JSON object at offset %d", d.pos)
	}
	return nil
}

func (d *document) space() {
	for d.pos < len(d.text) {
		switch d.text[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is no white space, 0 at the end.
func (d *document) peek() byte {
	d.space()
	if d.pos == len(d.text) {
		return 0
	}
	return d.text[d.pos]
}

func (d *document) accept(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.pos++
	return true
}

func (d *document) wrong(want string) error {
	if d.peek() == 0 {
		return fmt.Errorf("malformed JSON: ends at offset %d, want %s", d.pos, want)
	}
	return fmt.Errorf("malformed JSON: got %q at offset %d, want %s", d.text[d.pos], d.pos, want)
}

// object reads an object; member reads the value of each known name.
func (d *document) object(n names, member func(name string) error) error {
	if !d.accept('{') {
		return d.wrong("an object")
	}
	var seen [maxNames]string
	count := 0
	for more := !d.accept('}'); more; {
		name, err := d.str()
		if err != nil {
			return err
		}
		if count == maxNames {
			return fmt.Errorf("got more than %d members", maxNames)
		}
		for _, other := range seen[:count] {
			if sameName(name, other) {
				return fmt.Errorf("%.40q and %.40q: a name may come once only, in one spelling", other, name)
			}
		}
		seen[count] = name
		count++
		if !d.accept(':') {
			return d.wrong("':'")
		}
		if err := d.member(n, name, member); err != nil {
			return err
		}
		if more = d.accept(','); !more && !d.accept('}') {
			return d.wrong("',' or '}'")
		}
	}
	for _, name := range n.required {
		if !slices.Contains(seen[:count], name) {
			return fmt.Errorf("%q is missing", name)
		}
	}
	return nil
}

func (d *document) member(n names, name string, member func(name string) error) error {
	if !slices.Contains(n.required, name) && !slices.Contains(n.optional, name) {
		return d.other(n, name)
	}
	if err := member(name); err != nil {
		return in(name, err)
	}
	return nil
}

// other skips the value of a name that is none of ours.
func (d *document) other(n names, name string) error {
	for _, known := range [][]string{n.required, n.optional} {
		for _, k := range known {
			if sameName(k, name) {
				return fmt.Errorf("got the name %.40q, want %q", name, k)
			}
		}
	}
	if n.closed {
		return fmt.Errorf("got the unknown name %.40q", name)
	}
	return d.skip()
}

// sameName tells whether two names, both ASCII, differ by case at most.
func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// array reads an array; element reads each value.
func (d *document) array(element func(i int) error) error {
	if !d.accept('[') {
		return d.wrong("an array")
	}
	for i, more := 0, !d.accept(']'); more; i++ {
		if err := element(i); err != nil {
			return in(fmt.Sprintf("[%d]", i), err)
		}
		if more = d.accept(','); !more && !d.accept(']') {
			return d.wrong("',' or ']'")
		}
	}
	return nil
}

// str reads a string of printable ASCII without escapes.
func (d *document) str() (string, error) {
	if !d.accept('"') {
		return "", d.wrong("a string")
	}
	for i := d.pos; i < len(d.text); i++ {
		switch c := d.text[i]; {
		case c == '"':
			s := d.text[d.pos:i]
			d.pos = i + 1
			return s, nil
		case c == '\\' || c < 0x20 || c > 0x7e:
			return "", fmt.Errorf("got the byte %#02x at offset %d, want a string of printable ASCII without escapes", c, i)
		}
	}
	return "", fmt.Errorf("malformed JSON: the string at offset %d does not end", d.pos)
}

// escaped reads a string that may have escapes, and must be ASCII when they are resolved.
func (d *document) escaped() (string, error) {
	if !d.accept('"') {
		return "", d.wrong("a string")
	}
	start := d.pos
	var resolved []byte // all up to start, if there was an escape
	for d.pos < len(d.text) {
		switch c := d.text[d.pos]; {
		case c == '"':
			last := d.text[start:d.pos]
			d.pos++
			return string(append(resolved, last...)), nil
		case c == '\\':
			resolved = append(resolved, d.text[start:d.pos]...)
			d.pos++
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			resolved, start = append(resolved, r), d.pos
		case c < 0x20:
			return "", fmt.Errorf("got the byte %#02x at offset %d, want an escape", c, d.pos)
		case c > 0x7e:
			return "", fmt.Errorf("got characters outside of ASCII at offset %d", d.pos)
		default:
			d.pos++
		}
	}
	return "", fmt.Errorf("malformed JSON: ends at offset %d, in a string", d.pos)
}

// escape reads what follows a backslash (RFC 8259 §7), which must be a character of ASCII.
func (d *document) escape() (byte, error) {
	rest := d.text[d.pos:]
	if rest == "" {
		return 0, fmt.Errorf("malformed JSON: ends at offset %d, in an escape", d.pos)
	}
	d.pos++
	switch c := rest[0]; c {
	case '"', '\\', '/':
		return c, nil
	case 'b', 'f', 'n', 'r', 't':
		return "\b\f\n\r\t"[strings.IndexByte("bfnrt", c)], nil
	case 'u':
		var code [2]byte
		if len(rest) < 5 {
			return 0, fmt.Errorf("malformed JSON: ends at offset %d, in an escape", len(d.text))
		}
		if _, err := hex.Decode(code[:], []byte(rest[1:5])); err != nil {
			return 0, fmt.Errorf("malformed JSON: the escape at offset %d: %w", d.pos-2, err)
		}
		if code[0] != 0 || code[1] > 0x7e {
			return 0, fmt.Errorf("got characters outside of ASCII at offset %d", d.pos-2)
		}
		d.pos += 4
		return code[1], nil
	default:
		return 0, fmt.Errorf("malformed JSON: got the escape %q at offset %d", rest[:1], d.pos-2)
	}
}

// uint reads a whole number without sign, fraction and exponent, between 0 and max.
func (d *document) uint(max uint64) (uint64, error) {
	d.space()
	start, n := d.pos, uint64(0)
	for d.pos < len(d.text) && '0' <= d.text[d.pos] && d.text[d.pos] <= '9' {
		if n = n*10 + uint64(d.text[d.pos]-'0'); n > max {
			return 0, fmt.Errorf("got a number above %d", max)
		}
		d.pos++
	}
	switch {
	case d.pos == start:
		return 0, d.wrong("a whole number")
	case d.pos-start > 1 && d.text[start] == '0':
		return 0, errors.New("got a number with a leading zero")
	}
	return n, nil
}

// hex reads a string of hex digits, of either case, that fills field.
func (d *document) hex(field []byte) error {
	s, err := d.str()
	if err != nil {
		return err
	}
	if len(s) != 2*len(field) {
		return fmt.Errorf("got %d hex digits, want %d", len(s), 2*len(field))
	}
	_, err = hex.Decode(field, []byte(s))
	return err
}

// time reads an instant of UTC in whole seconds, such as "2025-06-19T10:56:11Z".
func (d *document) time() (time.Time, error) {
	s, err := d.str()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || len(s) != len("2006-01-02T15:04:05Z") {
		return time.Time{}, fmt.Errorf("got %.40q, want an instant such as \"2006-01-02T15:04:05Z\"", s)
	}
	return t, nil
}

// is reads a string that must have the given value.
func (d *document) is(want string) error {
	got, err := d.str()
	if err == nil && got != want {
		err = fmt.Errorf("got %.40q, want %q", got, want)
	}
	return err
}

// number reads a number that must have the given value.
func (d *document) number(want uint64) error {
	got, err := d.uint(1 << 32)
	if err == nil && got != want {
		err = fmt.Errorf("got %d, want %d", got, want)
	}
	return err
}

// skip reads any value that is none of ours. It is held to the same form.
func (d *document) skip() error {
	if d.depth++; d.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	defer func() { d.depth-- }()
	switch c := d.peek(); {
	case c == '{':
		return d.object(names{}, nil)
	case c == '[':
		return d.array(func(int) error { return d.skip() })
	case c == '"':
		_, err := d.str()
		return err
	case '0' <= c && c <= '9':
		_, err := d.uint(1 << 53)
		return err
	}
	for _, literal := range []string{"true", "false", "null"} {
		if strings.HasPrefix(d.text[d.pos:], literal) {
			d.pos += len(literal)
			return nil
		}
	}
	return d.wrong("a value")
}
