// Package saved knows how editors save texts otherwise than parsers read them.
package saved

import "bytes"

// Fault says what is wrong with how a text was saved, and what would be right; "" if nothing is. A parser would call it an invalid
// character, which nobody sees on the screen, or a part of the first key.
func Fault(text []byte) string {
	switch {
	case bytes.HasPrefix(text, []byte("\xef\xbb\xbf")):
		return "the text begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM"
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "the text is UTF-16: save it as UTF-8 without BOM"
	}
	return ""
}
