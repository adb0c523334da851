package strictjson

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Error says where a JSON text is wrong and what would be right. It shows names of
// members, shortened, and numbers; but no string of the text, which may be a secret,
// unless the UnmarshalText of its type does.
type Error struct {
	Line, Column int    // from 1; a column is a character, a tab is one
	Path         string // configs[0].claims[1].name; empty for the text as a whole
	Message      string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// At returns an Error for the value at path in data, which Unmarshal has
// accepted. A step of path is a string (a member's name) or an int (an
// array's index). If there is no such value, because a required key is missing, the
// position is that of the nearest value around it, and Path names the absent one.
func At(data []byte, message string, path ...any) *Error {
	var p strings.Builder
	for _, step := range path {
		switch s := step.(type) {
		case string:
			p.WriteString("/" + escapePointer.Replace(s))
		case int:
			p.WriteString("/" + strconv.Itoa(s))
		default:
			panic(fmt.Sprintf("strictjson.At: a step is a string or an int, not %T", step))
		}
	}
	e := at(data, locate(data, jsontext.Pointer(p.String())), "", message)
	e.Path = readable(path)
	return e
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901 section 3

// at makes an Error from a byte offset and a JSON pointer.
func at(data []byte, offset int64, p jsontext.Pointer, message string) *Error {
	line, column := position(data, offset)
	return &Error{Line: line, Column: column, Path: readable(steps(p)), Message: message}
}

// position turns a byte offset into line and column.
func position(data []byte, offset int64) (line, column int) {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line = 1 + bytes.Count(before, []byte("\n"))
	column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return line, column
}

// locate returns the offset of the value at pointer, or of the nearest one
// around it. Of members with the same name it finds the first. It steps over what does not
// lead there: to ask at each value where it stands takes too long in a text that is nested deeply.
func locate(data []byte, pointer jsontext.Pointer) int64 {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	begin := func() int64 {
		return int64(len(data) - len(bytes.TrimLeft(data[d.InputOffset():], " \t\r\n,:")))
	}
	found := begin()
	for step := range pointer.Tokens() {
		if !enter(d, step) {
			break
		}
		found = begin()
	}
	return found
}

// enter reads on to the value of a member, or to an element, of what begins here.
func enter(d *jsontext.Decoder, step string) bool {
	outer := d.PeekKind()
	if outer != '{' && outer != '[' {
		return false
	}
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for i := 0; d.PeekKind() != '}' && d.PeekKind() != ']'; i++ {
		name := strconv.Itoa(i)
		if outer == '{' {
			t, err := d.ReadToken()
			if err != nil {
				return false
			}
			name = t.String()
		}
		if name == step {
			return true
		}
		if d.SkipValue() != nil {
			return false
		}
	}
	return false
}

// steps splits a pointer. A step of digits is taken for an index: no file of ours
// has members with such names.
func steps(p jsontext.Pointer) []any {
	var path []any
	for token := range p.Tokens() {
		if i, err := strconv.Atoi(token); err == nil && i >= 0 {
			path = append(path, i)
		} else {
			path = append(path, token)
		}
	}
	return path
}

// maxSteps bounds a path in a message; our files nest less.
const maxSteps = 16

func readable(path []any) string {
	var b strings.Builder
	for i, step := range path {
		if i == maxSteps {
			return b.String() + "…"
		}
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		case string:
			switch {
			case !isWord(s):
				b.WriteString("[" + quote(s) + "]")
			case b.Len() > 0:
				b.WriteString("." + s)
			default:
				b.WriteString(s)
			}
		}
	}
	return b.String()
}

func isWord(s string) bool {
	for _, c := range s {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

const maxName = 64

// quote shows a name of the text, shortened and without control characters.
func quote(s string) string {
	if len(s) <= maxName {
		return strconv.Quote(s)
	}
	return strconv.Quote(strings.ToValidUTF8(s[:maxName], "")) + "…"
}
