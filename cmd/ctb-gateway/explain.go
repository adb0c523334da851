package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

const usageExplain = `usage: ctb-gateway explain -config FILE [flags] TOKEN|-

Tells, step by step, whether a request with the token would be let through, and why. The token
is an argument, or comes from standard input (-), which keeps it out of the shell's history.
Without either the request shows no credential. Keys that the configuration fetches are
fetched. Nothing is sent to the upstream, and the token is never printed.

Exit status: 0 if the request would be let through, 1 if not, 2 if that could not be found out,
also because the keys cannot be had now.

`

// maxCredential bounds what is read from standard input, in bytes: tokens have at most 16 KiB.
const maxCredential = 32 << 10

// headers are the values of a flag that may be given several times.
type headers http.Header

// String implements flag.Value.
func (h headers) String() string { return "" }

// Set implements flag.Value.
func (h headers) Set(text string) error {
	name, value, ok := strings.Cut(text, ":")
	if !ok || strings.TrimSpace(name) == "" {
		return errors.New(`want "Name: value"`)
	}
	http.Header(h).Add(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

// question is what explain is asked.
type question struct {
	config, method, path string
	header               headers
	apiKey, json         bool
	credential           string // empty: the request shows none
}

// explain is the command of that name.
func (p *program) explain(ctx context.Context, args []string) int {
	q := question{header: headers{}}
	flags := p.flagSet("explain", usageExplain)
	flags.StringVar(&q.config, "config", "", "configuration `file`")
	flags.StringVar(&q.method, "method", http.MethodGet, "`method` of the request")
	flags.StringVar(&q.path, "path", "/", "`path` of the request, and its query")
	flags.Var(q.header, "header", "a `header` of the request, \"Name: value\"; may be given several times")
	flags.BoolVar(&q.apiKey, "api-key", false, "it is an API key and no token; not needed where the configuration has a whitelist alone")
	flags.BoolVar(&q.json, "json", false, "write JSON")
	if status, ok := parse(flags, args); !ok {
		return status
	}
	switch {
	case q.config == "" && !configured(p.environ):
		return p.misused(flags, "-config is missing: which configuration?")
	case flags.NArg() > 1:
		return p.misused(flags, "got %d arguments, want at most one: a token, or - for standard input; flags come before it", flags.NArg())
	}
	a, err := p.ask(ctx, q, flags.Arg(0))
	if err == nil {
		err = a.write(p.stdout, q.json)
	}
	switch {
	case err != nil:
		fmt.Fprintln(p.stderr, "ctb-gateway:", err)
		return exitUsage
	case a.Reason == string(access.KeysUnavailable):
		return exitUsage
	case !a.Allowed:
		return exitFailed
	}
	return exitOK
}

// explanation is the answer. Its JSON form is stable.
type explanation struct {
	Method     string `json:"method"`
	Path       string `json:"path"`                   // without the query, where a credential may stand
	Credential string `json:"credential"`             // which it is, and where it stands
	SHA256     string `json:"token_sha256,omitempty"` // the beginning
	Allowed    bool   `json:"allowed"`
	Reason     string `json:"reason,omitempty"` // allowed, or the word that metrics have
	Fault      string `json:"fault,omitempty"`  // of an invalid token
	Detail     string `json:"detail,omitempty"`
	Status     int    `json:"status,omitempty"` // that the client would get; 0: the upstream's
	Route      string `json:"route"`
	Steps      []step `json:"steps"`
}

type step struct {
	What   string `json:"what"`
	Result string `json:"result"` // ok, no or not reached
	Detail string `json:"detail,omitempty"`
}

// ask makes the gateway of the configuration, and asks it.
func (p *program) ask(ctx context.Context, q question, argument string) (*explanation, error) {
	switch argument {
	case "":
	case "-":
		text, err := io.ReadAll(io.LimitReader(p.stdin, maxCredential+1))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		if q.credential = strings.TrimSpace(string(text)); q.credential == "" || len(text) > maxCredential {
			return nil, fmt.Errorf("standard input: got %d bytes, want a token or an API key, of at most %d", len(text), maxCredential)
		}
	default:
		fmt.Fprintln(p.stderr, "ctb-gateway: what is an argument stays in the shell's history, and others on this machine see it; - reads it from standard input")
		q.credential = strings.TrimSpace(argument)
	}
	var level slog.LevelVar
	s, err := newService(q.config, p.environ, slog.New(slog.DiscardHandler), &level)
	if err != nil {
		return nil, err
	}
	r, shown, err := q.request(ctx, s.newest().config)
	if err != nil {
		return nil, err
	}
	a := explain(s.newest().gateway, r)
	a.Credential = shown
	if strings.HasPrefix(shown, showsToken) { // the hash of a short key would tell the key
		a.SHA256 = fmt.Sprintf("%x", sha256.Sum256([]byte(q.credential)))[:12]
	}
	return a, nil
}

const showsToken = "token"

// request is the request in question. The credential stands where the configuration looks first.
func (q question) request(ctx context.Context, c *config.Config) (r *http.Request, shown string, err error) {
	target, err := url.ParseRequestURI(q.path)
	if err != nil || !strings.HasPrefix(q.path, "/") {
		return nil, "", fmt.Errorf("-path: want one that begins with /, and perhaps a query")
	}
	r, err = http.NewRequestWithContext(ctx, q.method, "http://gateway.invalid/", nil)
	if err != nil {
		return nil, "", fmt.Errorf("-method: %w", err)
	}
	r.URL, r.RequestURI, r.Host, r.RemoteAddr = target, q.path, "gateway.invalid", "127.0.0.1:1"
	for name, values := range q.header {
		r.Header[name] = values
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	switch {
	case q.credential == "":
		return r, "no credential", nil
	case q.apiKey || len(c.Issuers) == 0 && c.Whitelist != nil:
		if c.Whitelist == nil {
			return nil, "", errors.New("-api-key: the configuration has no whitelist")
		}
		r.Header.Add(c.Whitelist.Header, q.credential)
		return r, "API key in " + c.Whitelist.Header, nil
	}
	place := credential.Place{Kind: credential.Authorization}
	if len(c.TokenFrom) > 0 {
		place = c.TokenFrom[0]
	}
	put(r, place, q.credential)
	return r, showsToken + " in " + inWords(place), nil
}

// put puts a token into its place, beside what is there.
func put(r *http.Request, at credential.Place, token string) {
	switch at.Kind {
	case credential.Header:
		r.Header.Add(at.Name, token)
	case credential.Cookie:
		r.AddCookie(&http.Cookie{Name: at.Name, Value: token})
	case credential.Query:
		if r.URL.RawQuery != "" {
			r.URL.RawQuery += "&"
		}
		r.URL.RawQuery += url.QueryEscape(at.Name) + "=" + url.QueryEscape(token)
	case credential.WebSocketProtocol:
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Protocol", "bearer, "+token)
	default:
		r.Header.Add("Authorization", "Bearer "+token)
	}
}

func inWords(p credential.Place) string {
	switch p.Kind {
	case credential.Header, credential.Cookie, credential.Query:
		return string(p.Kind) + " " + p.Name
	}
	return string(p.Kind)
}

// explain asks how a request is decided.
func explain(g *gateway.Gateway, r *http.Request) *explanation {
	e := g.Explain(r)
	a := &explanation{Method: r.Method, Path: r.URL.Path, Route: e.Route, Allowed: e.Refusal == nil, Reason: string(access.Allowed)}
	for _, s := range e.Steps {
		a.Steps = append(a.Steps, step{s.What, string(s.Result), s.Detail})
	}
	if refusal := e.Refusal; refusal != nil {
		a.Reason, a.Fault, a.Detail = string(refusal.Reason), string(refusal.Fault), refusal.Error()
		a.Status, _, _ = g.Answer(r, refusal)
	}
	return a
}

// write writes the explanation, as text or JSON.
func (a *explanation) write(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(a)
	}
	fmt.Fprintf(w, "%s %s with %s", a.Method, a.Path, a.Credential)
	if a.SHA256 != "" {
		fmt.Fprintf(w, " (SHA-256 %s…)", a.SHA256)
	}
	fmt.Fprintf(w, ", route %q\n\n", a.Route)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range a.Steps[:len(a.Steps)-1] {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", s.Result, s.What, s.Detail)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if a.Allowed {
		_, err := fmt.Fprintln(w, "\nIt would be let through.")
		return err
	}
	_, err := fmt.Fprintf(w, "\nIt would be refused: %s (%s, status %d)\n", a.Detail, a.Reason, a.Status)
	return err
}
