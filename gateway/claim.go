package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/internal/httptoken"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ClaimHeader is a header that tells the upstream of who asks. Of Claim and Name
// exactly one is given.
//
// A string stands there as it is, a number or bool as in JSON, an array of
// these with commas between them, anything else as JSON. Without the claim, and where it is null or
// an empty array, there is no such header. Bytes beyond printable ASCII, "%",
// spaces at the ends and commas in an array's strings are percent-encoded, so that no claim can end
// a header or look like another: an upstream that expects such values splits at
// commas, and then decodes.
//
// What a client sends under the name, in any case and with "_", "." or their like for "-", is taken away.
type ClaimHeader struct {
	Header string   // its name
	Claim  []string // path of a claim of the token
	Name   bool     // the API key's name in the whitelist
}

// reserved are headers that carry a request to the upstream, or credentials: no claim may.
var reserved = []string{
	"authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "date", "expect", "host", "keep-alive",
	"origin", "proxy-authorization", "proxy-connection", "range", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key",
	"sec-websocket-protocol", "sec-websocket-version", "te", "trailer", "transfer-encoding", "upgrade",
}

// hop are the headers that every proxy adds.
var hop = []string{"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"}

// Validate tells whether it is well formed: its name can carry a claim, and it is clear which.
func (c ClaimHeader) Validate() error {
	var buf [longestFolded]byte
	folded := string(fold(&buf, c.Header))
	switch {
	case !httptoken.Valid(c.Header) || len(c.Header) > longestFolded:
		return fmt.Errorf("header: got %.80q, want the name of a header, of at most %d bytes", c.Header, longestFolded)
	case slices.Contains(reserved, folded) || pretending[folded] || slices.Contains(hop, folded):
		return fmt.Errorf("header: %s has a meaning of its own, choose another name", c.Header)
	case c.Name == (len(c.Claim) > 0):
		return fmt.Errorf("header %s: want either the path of a claim or the name of the API key", c.Header)
	case slices.Contains(c.Claim, ""):
		return fmt.Errorf("header %s: a step of the claim's path is empty", c.Header)
	}
	return nil
}

// checkNames refuses two headers that the same folded name would take away.
func checkNames(list []ClaimHeader) error {
	seen := map[string]bool{}
	for i, c := range list {
		var buf [longestFolded]byte
		folded := string(fold(&buf, c.Header))
		if seen[folded] {
			return fmt.Errorf("claim headers[%d]: %s is given twice", i, c.Header)
		}
		seen[folded] = true
	}
	return nil
}

// claimHeader is a ClaimHeader that is made ready to be set.
type claimHeader struct {
	key  string // as http.Header has it
	path []string
}

// compileClaims also returns the folded names, under which nothing passes from a client.
func compileClaims(list []ClaimHeader) (claims []claimHeader, named map[string]bool) {
	named = map[string]bool{}
	for _, c := range list {
		var buf [longestFolded]byte
		named[string(fold(&buf, c.Header))] = true
		claims = append(claims, claimHeader{key: http.CanonicalHeaderKey(c.Header), path: slices.Clone(c.Claim)})
	}
	return claims, named
}

// value returns what the header says of who asks; false if there is nothing to say.
func (c *claimHeader) value(who *access.Identity) (string, bool) {
	if c.path == nil {
		return escape(who.Name, false), who.Name != ""
	}
	if who.Token == nil {
		return "", false
	}
	text, ok := who.Token.Claim(c.path...)
	if !ok {
		return "", false
	}
	return claimText(text)
}

// claimText puts a claim into words.
func claimText(claim jsontext.Value) (string, bool) {
	switch claim.Kind() {
	case 'n':
		return "", false
	case '[':
		if list, err := elements(claim); err == nil {
			return strings.Join(list, ","), len(list) > 0
		}
	case '{':
	default:
		text, err := scalar(claim)
		return escape(text, false), err == nil
	}
	compact := bytes.Clone(claim)
	if err := (*jsontext.Value)(&compact).Compact(); err != nil {
		return "", false // the token was parsed, so this does not happen
	}
	return escape(string(compact), false), true
}

// elements returns the words of an array that has only strings, numbers and bools.
func elements(claim jsontext.Value) ([]string, error) {
	var values []jsontext.Value
	if err := json.Unmarshal(claim, &values); err != nil {
		return nil, err
	}
	list := make([]string, len(values))
	for i, v := range values {
		text, err := scalar(v)
		if err != nil {
			return nil, err
		}
		list[i] = escape(text, true)
	}
	return list, nil
}

var errNotScalar = errors.New("neither a string nor a number nor a bool")

func scalar(claim jsontext.Value) (string, error) {
	switch claim.Kind() {
	case '"':
		var s string
		err := json.Unmarshal(claim, &s)
		return s, err
	case '0', 't', 'f':
		return string(claim), nil
	}
	return "", errNotScalar
}

// escape percent-encodes what a header cannot carry unchanged, and the percent sign itself.
func escape(s string, inList bool) string {
	special := func(i int) bool {
		c := s[i]
		return c < ' ' || c > '~' || c == '%' || c == ',' && inList || c == ' ' && (i == 0 || i == len(s)-1)
	}
	var b []byte
	for i := range len(s) {
		if !special(i) {
			if b != nil {
				b = append(b, s[i])
			}
			continue
		}
		if b == nil {
			b = append(make([]byte, 0, len(s)+16), s[:i]...)
		}
		const digits = "0123456789ABCDEF"
		b = append(b, '%', digits[s[i]>>4], digits[s[i]&15])
	}
	if b == nil {
		return s
	}
	return string(b)
}

// rewrite makes of a client's headers and query those that the upstream gets: without
// credentials, unless they are forwarded, without the client's own claims, and with those of who asks.
func (d *Decision) rewrite(h http.Header, rawQuery string) string {
	d.g.stripClaims(h)
	if c := d.g.config.Credentials; c != nil && !d.g.config.ForwardToken {
		rawQuery = c.Strip(h, rawQuery)
	}
	if d.Who != nil {
		d.setClaims(h)
	}
	return rawQuery
}

func (g *Gateway) stripClaims(h http.Header) {
	if len(g.named) == 0 {
		return
	}
	var buf [longestFolded]byte
	for name := range h {
		if len(name) <= longestFolded && g.named[string(fold(&buf, name))] {
			delete(h, name)
		}
	}
}

func (d *Decision) setClaims(h http.Header) {
	for i := range d.g.claims {
		c := &d.g.claims[i]
		if v, ok := c.value(d.Who); ok {
			h[c.key] = []string{v}
		}
	}
}

// Headers returns the headers that tell the upstream who asks.
func (d *Decision) Headers() http.Header {
	h := http.Header{}
	if d.Who != nil {
		d.setClaims(h)
	}
	return h
}

// Changes tells what becomes of a request that somebody else forwards: the
// headers to set, in place of all of their name; the names of the headers that must
// not reach the upstream, which are some of r's and those of all claims that are not
// set, for r may lack what is forwarded; and the query as the upstream may see it. Where
// a credential is one of several cookies, or stands among the subprotocols of a
// websocket, the header is set to what is left of it.
//
// X-Forwarded-* and their like are left to who forwards, but for those that ask for another path or method.
func (d *Decision) Changes(r *http.Request) (set http.Header, remove []string, query string) {
	h := r.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	d.g.stripRedirecting(h)
	query = d.rewrite(h, r.URL.RawQuery)
	set = http.Header{}
	for name, values := range h {
		if !slices.Equal(values, r.Header[name]) {
			set[name] = values
		}
	}
	for name := range r.Header {
		if _, ok := h[name]; !ok {
			remove = append(remove, name)
		}
	}
	for i := range d.g.claims {
		name := d.g.claims[i].key
		if _, ok := h[name]; !ok && r.Header[name] == nil {
			remove = append(remove, name)
		}
	}
	slices.Sort(remove)
	return set, remove, query
}
