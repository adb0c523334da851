package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/httptoken"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// Bounds of the original request. Envoy's own defaults for what a client may
// send (60 KiB of header, 100 fields) are smaller.
const (
	maxFields = 1000     // header fields
	maxTarget = 64 << 10 // bytes of path and query
	maxHeader = 96 << 10 // bytes of all names and values
)

// original returns the request that Envoy asks about, without its body, as if
// the client had sent it to us. What Envoy would not send is an error, whose
// text the client may read: a decision about a request that is not the one that
// goes upstream would be worth nothing.
func original(ctx context.Context, check *authv3.CheckRequest) (*http.Request, error) {
	in := check.GetAttributes().GetRequest().GetHttp()
	if in == nil {
		return nil, errors.New("attributes.request.http is missing")
	}
	u, err := target(in)
	if err != nil {
		return nil, err
	}
	if err := checkLine(in); err != nil {
		return nil, err
	}
	fields, err := header(in)
	if err != nil {
		return nil, err
	}
	r := &http.Request{
		Method: in.GetMethod(), URL: u, RequestURI: in.GetPath(), Host: in.GetHost(), Header: fields,
		Proto: in.GetProtocol(), Body: http.NoBody, RemoteAddr: source(check),
	}
	var ok bool
	if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(r.Proto); !ok {
		r.ProtoMajor, r.ProtoMinor = versions[r.Proto], 0 // Envoy writes "HTTP/2"; what is unknown is 0.0
	}
	return r.WithContext(ctx), nil
}

var versions = map[string]int{"HTTP/2": 2, "HTTP/3": 3}

// target reads the path and query as net/http reads a request line in origin-form
// (RFC 9112 section 3.2.1). Envoy sends no other form.
func target(in *authv3.AttributeContext_HttpRequest) (*url.URL, error) {
	path := in.GetPath()
	switch {
	case len(path) > maxTarget:
		return nil, fmt.Errorf("path: got %d bytes, want at most %d", len(path), maxTarget)
	case in.GetQuery() != "" || in.GetFragment() != "":
		return nil, errors.New("query and fragment: got some, want the query in path, and no fragment")
	case !strings.HasPrefix(path, "/"):
		return nil, errors.New("path: got one without a slash at its beginning, want path and query")
	case strings.Contains(path, "#"):
		// Some servers would end the path there, others would not.
		return nil, errors.New("path: got a fragment, want path and query")
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return nil, errors.New("path: got a space or a control character, which end a request line")
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		// Not the error itself: it has the query in it, where a token may stand.
		return nil, errors.New("path: got one that is no URL, want path and query")
	}
	return u, nil
}

// checkLine checks what else stands in a request line, and the host.
func checkLine(in *authv3.AttributeContext_HttpRequest) error {
	switch {
	case !httptoken.Valid(in.GetMethod()):
		return errors.New("method: got none or one with other characters than RFC 9110 section 5.6.2 has")
	case in.GetHost() == "" || strings.ContainsFunc(in.GetHost(), notInHost):
		return errors.New("host: got none or one with other characters than RFC 3986 section 3.2.2 has")
	case in.GetScheme() != "" && in.GetScheme() != "http" && in.GetScheme() != "https":
		return errors.New("scheme: want http or https")
	}
	return nil
}

// header returns the header fields. Envoy sends them in one of two maps: in
// headers, fields of one name are joined with commas; in header_map they stay apart.
func header(in *authv3.AttributeContext_HttpRequest) (http.Header, error) {
	joined, apart := in.GetHeaders(), in.GetHeaderMap().GetHeaders()
	if len(joined) > 0 && len(apart) > 0 {
		return nil, errors.New("headers and header_map: got both, want one")
	}
	if len(joined)+len(apart) > maxFields {
		return nil, fmt.Errorf("headers: got %d, want at most %d", len(joined)+len(apart), maxFields)
	}
	h := make(http.Header, len(joined)+len(apart))
	f := fields{in: in, header: h}
	for name, value := range joined {
		// No credential that we know has a comma in it, so this is a field that came
		// twice: two values to us, which is one too many for who reads credentials.
		if strings.EqualFold(name, "Authorization") {
			for value := range strings.SplitSeq(value, ",") {
				f.add(name, strings.TrimSpace(value))
			}
			continue
		}
		f.add(name, value)
	}
	for _, field := range apart {
		f.add(field.GetKey(), f.value(field))
	}
	return h, f.err
}

// fields collects the header fields of a request.
type fields struct {
	in     *authv3.AttributeContext_HttpRequest
	header http.Header
	bytes  int
	err    error
}

func (f *fields) fail(text string) {
	if f.err == nil {
		f.err = errors.New(text)
	}
}

// value returns the value of a field of a header_map.
func (f *fields) value(field *corev3.HeaderValue) string {
	if field.GetValue() != "" && len(field.GetRawValue()) > 0 {
		f.fail("headers: got value and raw_value of one field, want one")
	}
	if raw := field.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return field.GetValue()
}

// add adds a field. A pseudo-header must say the same as the attribute that it is of.
func (f *fields) add(name, value string) {
	if f.bytes += len(name) + len(value); f.bytes > maxHeader {
		f.fail("headers: got more than " + strconv.Itoa(maxHeader) + " bytes, want fewer")
		return
	}
	if pseudo, ok := strings.CutPrefix(name, ":"); ok {
		want, known := map[string]string{
			"method": f.in.GetMethod(), "path": f.in.GetPath(), "authority": f.in.GetHost(), "scheme": f.in.GetScheme(),
		}[pseudo]
		if known && value != want {
			f.fail("headers: a pseudo-header says something else than the request's attributes")
		}
		return
	}
	switch {
	case !httptoken.Valid(name):
		f.fail("headers: got a name with other characters than RFC 9110 section 5.6.2 has")
	case strings.ContainsAny(value, "\r\n\x00"):
		f.fail("headers: got a value with a line's end or a zero in it (RFC 9110 section 5.5)")
	case strings.EqualFold(name, "Host"):
		// As with net/http it is the request's Host, and no header field.
		if !strings.EqualFold(value, f.in.GetHost()) {
			f.fail("headers: Host says something else than the request's attributes")
		}
	default:
		f.header.Add(name, value)
	}
}

// source is who connected to Envoy, as "address:port"; empty if that is no IP address.
func source(check *authv3.CheckRequest) string {
	at := check.GetAttributes().GetSource().GetAddress().GetSocketAddress()
	if net.ParseIP(at.GetAddress()) == nil || at.GetPortValue() > 65535 {
		return ""
	}
	return net.JoinHostPort(at.GetAddress(), strconv.Itoa(int(at.GetPortValue())))
}

// notInHost tells whether a character can be in no host and port.
func notInHost(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\?#@"<>^{|}`+"`", c)
}
