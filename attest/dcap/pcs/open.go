package pcs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// Options are what a program says beside where collateral comes from.
type Options struct {
	APIKey  string       // see [Client]
	Update  string       // see [Client]; empty: what a qcnl.conf says, else the standard channel
	RootCRL string       // see [Client]
	HTTP    *http.Client // nil: a client that trusts the system's roots
}

const places = `"intel", "qcnl", a base URL or the path of a qcnl.conf`

// Open returns the client for a place: "intel"; "qcnl", which is the file at
// [QCNLPath]; a base URL, https (or http to a loopback address); or the path of a qcnl.conf. It
// asks nobody yet. The warnings are sentences for whoever runs the program.
func Open(where string, o Options) (c *Client, warnings []string, err error) {
	c = &Client{APIKey: o.APIKey, Update: o.Update, RootCRL: o.RootCRL, HTTP: o.HTTP}
	switch {
	case where == "":
		return nil, nil, errors.New("collateral service: got none, want " + places)
	case where == "intel":
	case where == "qcnl":
		warnings, err = c.configure(QCNLPath)
	case strings.Contains(where, "://"):
		c.URL = where
	default:
		warnings, err = c.configure(where)
	}
	if err == nil {
		_, err = c.check("")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("collateral service: %w", err)
	}
	return c, warnings, nil
}

// configure takes what a qcnl.conf says.
func (c *Client) configure(path string) (warnings []string, err error) {
	data, err := fetch.File(path, maxQCNL)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (want %s)", err, places)
	}
	if err != nil {
		return nil, err
	}
	q, err := ParseQCNL(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.URL, err = q.URL(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Update == "" {
		c.Update = q.TCBUpdateType
	}
	if q.UseSecureCert {
		return nil, nil
	}
	if c.APIKey != "" {
		return nil, fmt.Errorf("%s: use_secure_cert is false, and an API key is given: it would go to whoever answers", path)
	}
	// Believing the server is not what makes collateral believed: Intel signs every byte that
	// a verifier reads, and Intel also says until when. So a server in the middle can only
	// do what the network can do anyway, withhold, or learn which platform is asked about.
	c.HTTP = fetch.AnyServer()
	return []string{fmt.Sprintf("%s: use_secure_cert is false, so who answers at %s is not verified: collateral is safe, since Intel signs all of it, "+
		"but others can see which platform is asked about, and can withhold newer collateral until what is at hand expires", path, fetch.Redact(c.URL))}, nil
}
