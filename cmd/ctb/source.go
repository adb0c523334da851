package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// maxInput is the largest input that is read, from wherever it comes. Key sets with
// evidence, the largest, have some 10 KiB for each key.
const maxInput = 4 << 20

// reader reads what a command line names: a file, "-" for the standard input, or a URL.
type reader struct {
	streams
	client *http.Client // for URLs; nil trusts the CA roots that come with the program
}

// read returns the content of source. A file that can't be read is the
// caller's mistake; a URL that can't is not.
func (r reader) read(ctx context.Context, source string) ([]byte, error) {
	if isURL(source) {
		if err := checkURL(source); err != nil {
			return nil, err
		}
		client := r.client
		if client == nil {
			client = fetch.Client(roots.Bundled())
		}
		doc, err := fetch.JSON(ctx, client, source, maxInput)
		var status *fetch.StatusError
		if errors.As(err, &status) && status.Code == http.StatusBadRequest && strings.HasPrefix(source, "http://") {
			return nil, &fixedError{err, "a server of https answers http so: begin the URL with https://"}
		}
		if err != nil {
			return nil, err
		}
		return doc.Body, nil
	}
	from := r.in
	if source != "-" {
		f, err := os.Open(source)
		if err != nil {
			return nil, usagef(cmp.Or(urlHint(source), `name a file, a URL, or "-" for the standard input`), "%w", err)
		}
		defer f.Close()
		from = f
	} else if report.IsTerminal(r.in) {
		fmt.Fprintln(r.err, "reading the standard input; Ctrl-D ends it")
	}
	data, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	if err != nil {
		return nil, usagef("", "%s: %w", source, err)
	}
	if len(data) > maxInput {
		return nil, usagef("", "%s: got more than %d MiB, want less", source, maxInput>>20)
	}
	return data, nil
}

// keysAt returns the URL of a broker's keys if source is the broker's own, a URL without a path.
func keysAt(source string) string {
	u, err := url.Parse(source)
	if !isURL(source) || err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return source
	}
	return u.JoinPath(keysPath).String()
}

// keysPath is where a broker serves its keys.
const keysPath = "/.well-known/jwks.json"

func isURL(source string) bool {
	return strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://")
}

// checkURL refuses what could not be fetched as it was meant.
func checkURL(source string) error {
	u, err := url.Parse(source)
	switch {
	case err != nil:
		return nil // who fetches says what is wrong with it
	case u.User != nil:
		return usagef("leave out what stands before the @", "%s: want a URL without user and password", u.Scheme+"://"+withoutUser(source))
	case u.Hostname() == "":
		return usagef("give it a URL such as https://broker.example.com", "got a URL without a host")
	}
	return nil
}

// trusting returns a client that trusts the certificates of a PEM file for
// TLS, and no others. An empty path returns nil: see [reader].
func trusting(path string) (*http.Client, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("", "--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usagef("", "--ca: %s has no certificate in PEM", path)
	}
	return fetch.Client(pool), nil
}

// evidence reads what carries its own evidence, from whoever serves it; with
// --ca only from a server that these CAs know.
func (r reader) evidence(ctx context.Context, source string) ([]byte, error) {
	return r.anyServer(source).read(ctx, source)
}

// anyServer is a reader that takes any server at a URL for the right one, unless --ca says better.
func (r reader) anyServer(source string) reader {
	if isURL(source) && r.client == nil && checkURL(source) == nil {
		r.client = unverified()
		r.note("who answers at %s is not verified, only what is signed in the answer", fetch.Redact(source))
	}
	return r
}

// unverified returns a client for what carries its own evidence, or a
// signature of its own: who hands it out makes no difference, and a broker's
// TLS key is of no public CA.
func unverified() *http.Client {
	c := fetch.AnyServer()
	c.CheckRedirect = nil // who asks is a person, and files are often a redirect away
	return c
}

// withoutUser keeps a password in a URL out of messages.
func withoutUser(raw string) string {
	if at := strings.LastIndexByte(raw, '@'); at >= 0 {
		return "…" + raw[at:]
	}
	return raw
}

// httpsURL reads the URL of a broker. Plain http is for this machine alone.
func httpsURL(flag, value string) (*url.URL, error) {
	u, err := url.Parse(value)
	if err != nil {
		u = new(url.URL) // "127.0.0.1:8080" does not even parse
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usagef("give it a URL such as https://broker.example.com",
			"--%s: got %q, want https://HOST[:PORT][/PATH]", flag, withoutUser(value))
	}
	return u, nil
}

// fileOrEnv reads a secret. Secrets are never arguments: those end up in the shell's
// history and the list of processes. It returns nil if none is named.
func fileOrEnv(what, file, env string) ([]byte, error) {
	switch {
	case file != "" && env != "":
		return nil, usagef("", "--%s-file and --%s-env are both given, want one", what, what)
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("name a file that can be read", "--%s-file: %w", what, withoutPath(err))
		}
		return data, nil
	case env != "":
		value, ok := os.LookupEnv(env)
		if !ok {
			return nil, usagef("name a variable, not its content", "--%s-env: there is no such variable in the environment", what)
		}
		return []byte(value), nil
	}
	return nil, nil
}

// withoutPath takes the path out of an error: somebody may have given the secret in its place.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// createNew writes a file that must not be there yet. Only its owner may read it.
func createNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return usagef("name another file, or move that one away", "--out: %s exists and is not overwritten", path)
		}
		return usagef("", "--out: %w", err)
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
