package pcs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// timeout bounds all requests for the collateral of one platform, with their retries.
const timeout = 45 * time.Second

// Client asks a PCS or PCCS for collateral. It is a [dcap.Source] that asks
// each time and verifies nothing: put a [Cache] before it. Its zero value asks
// Intel. It may be used by many goroutines at once.
type Client struct {
	// URL is the base URL, https (or http to a loopback address): a host alone, which
	// means the API version 4, or up to …/sgx/certification/v3/ or v4/. Empty: Intel's.
	URL string
	// APIKey is sent as Ocp-Apim-Subscription-Key if it is not empty, to the host of the URL alone.
	// Neither Intel nor a PCCS wants one for collateral; some gateways before them do.
	APIKey string
	// Update is the channel of TCB recoveries: "early" has Intel's judgement from the
	// day of its disclosure, "standard" (as empty) when platforms had months to update.
	Update string
	// RootCRL is the URL of the root CA's revocation list. Empty: the one that Intel's root
	// certificate names if URL is Intel's, and rootcacrl of the PCCS if it is not.
	RootCRL string
	// HTTP is the client to ask with; nil trusts the system's roots.
	HTTP *http.Client

	now  func() time.Time                           // nil: time.Now; reads a Retry-After that is a date
	wait func(context.Context, time.Duration) error // nil: a timer
}

// systemClient is made once, so that connections are used again.
var systemClient = sync.OnceValue(func() *http.Client { return fetch.Client(nil) })

// Collateral implements [dcap.Source]. TCB info is asked for first, since it
// alone is about the platform: an unknown one costs one request. An error is an
// [*Error] if a request failed.
func (c *Client) Collateral(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	if err := checkPlatform(p); err != nil {
		return nil, err
	}
	b, err := c.check(p.TEE)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	col := new(dcap.Collateral)
	if err := c.get(ctx, tcbInfo(b, c.Update, p, col)); err != nil {
		return nil, err
	}
	rest := []*request{qeIdentity(b, c.Update, p, col), pckCRL(b, p, col), rootCRL(b, c.RootCRL, col)}
	errs := make([]error, len(rest))
	var wg sync.WaitGroup
	for i, r := range rest {
		wg.Go(func() { errs[i] = c.get(ctx, r) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err // one says enough, the first in a fixed order
		}
	}
	return col, nil
}

// check finds what is wrong before anybody is asked about a platform with the TEE, or with any ("").
func (c *Client) check(tee string) (*base, error) {
	b, err := parseBase(c.URL)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Update != "" && c.Update != "standard" && c.Update != "early":
		return nil, fmt.Errorf("update channel: got %q, want \"standard\" or \"early\"", c.Update)
	case c.Update == "early" && b.version < 4:
		return nil, fmt.Errorf("update channel: the API version %d of %s has no channel \"early\", want version 4", b.version, b.root)
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("API key: it has white space or control characters, such as the line end of a file")
	case tee == "tdx" && b.version < 4:
		return nil, fmt.Errorf("the API version %d of %s has no documents about TDX, want version 4", b.version, b.root)
	}
	if c.RootCRL != "" {
		if u, err := url.Parse(c.RootCRL); err != nil || !fetch.Private(u) || u.User != nil {
			return nil, errors.New("URL of the root CRL: want an https URL (http is for loopback addresses) without user")
		}
	}
	return b, nil
}

// request is one document: where it is and how its answer is read.
type request struct {
	what     string // such as "TCB info"
	url      string
	from     *base // the service that has it, which gets the API key; nil for a plain file elsewhere
	platform bool  // it is about one platform
	read     func(*fetch.Document) error
}

func tcbInfo(b *base, update string, p dcap.Platform, col *dcap.Collateral) *request {
	query := url.Values{"fmspc": {hex.EncodeToString(p.FMSPC[:])}}
	addUpdate(query, b, update)
	return &request{
		what: "TCB info", url: b.at(p.TEE, "tcb", query), from: b, platform: true,
		read: func(d *fetch.Document) (err error) {
			if col.TCBInfoIssuerChain, err = chain(d.Header, "TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"); err != nil {
				return err
			}
			col.TCBInfo, col.TCBInfoSignature, err = cut(d.Body, "tcbInfo")
			return err
		},
	}
}

func qeIdentity(b *base, update string, p dcap.Platform, col *dcap.Collateral) *request {
	query := url.Values{}
	addUpdate(query, b, update)
	return &request{
		what: "QE identity", url: b.at(p.TEE, "qe/identity", query), from: b,
		read: func(d *fetch.Document) (err error) {
			if col.QEIdentityIssuerChain, err = chain(d.Header, "SGX-Enclave-Identity-Issuer-Chain"); err != nil {
				return err
			}
			col.QEIdentity, col.QEIdentitySignature, err = cut(d.Body, "enclaveIdentity")
			return err
		},
	}
}

func pckCRL(b *base, p dcap.Platform, col *dcap.Collateral) *request {
	// An old PCCS ignores encoding and answers in hex.
	query := url.Values{"ca": {p.CA}, "encoding": {"der"}}
	return &request{
		what: "PCK CRL", url: b.at("sgx", "pckcrl", query), from: b,
		read: func(d *fetch.Document) (err error) {
			if col.PCKCRLIssuerChain, err = chain(d.Header, "SGX-PCK-CRL-Issuer-Chain"); err != nil {
				return err
			}
			col.PCKCRL, err = revocationList(d.Body)
			return err
		},
	}
}

func rootCRL(b *base, at string, col *dcap.Collateral) *request {
	r := &request{
		what: "root CRL", url: at,
		read: func(d *fetch.Document) (err error) {
			col.RootCACRL, err = revocationList(d.Body)
			return err
		},
	}
	switch {
	case at != "":
	case b.intel:
		r.url = intelRootCRL
	default:
		r.url, r.from = b.at("sgx", "rootcacrl", nil), b
	}
	return r
}

// addUpdate asks for a channel by name. Version 3 has the standard one alone, and not the parameter.
func addUpdate(query url.Values, b *base, update string) {
	if update != "" && b.version >= 4 {
		query.Set("update", update)
	}
}

// checkPlatform lets nothing through that a path or a query is not to be made of.
func checkPlatform(p dcap.Platform) error {
	if p.TEE != "sgx" && p.TEE != "tdx" {
		return fmt.Errorf("platform: TEE: got %.20q, want \"sgx\" or \"tdx\"", p.TEE)
	}
	if p.CA != "processor" && p.CA != "platform" {
		return fmt.Errorf("platform: CA: got %.20q, want \"processor\" or \"platform\"", p.CA)
	}
	return nil
}
