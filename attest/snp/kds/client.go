package kds

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// AMD is the base URL of AMD's Key Distribution Service.
const AMD = "https://kdsintf.amd.com"

const (
	timeout  = 45 * time.Second // of all requests for one platform, with their retries
	sameTime = 10 * time.Minute // for which the documents of a product are not asked for again: AMD answers the same question once in some seconds
)

// Client asks AMD's Key Distribution Service, or one that speaks like it (AMD publication 57230, chapter 4). It is a [Source] that
// verifies nothing: put a [Cache] before it. It asks for the certificate of a chip's key each time, and for what all chips of
// a product share once in ten minutes. A service that wants to be left alone is left alone by all askers. Its zero value asks AMD. It may be used by many goroutines at once, and must not be copied.
type Client struct {
	BaseURL string       // https, or http to a loopback address; empty: AMD's
	HTTP    *http.Client // nil trusts the system's roots

	now  func() time.Time                           // nil: time.Now
	wait func(context.Context, time.Duration) error // nil: a timer

	quiet    pause
	mu       sync.Mutex // guards products
	products map[string]*product
}

// product is what all keys of one kind of a product share.
type product struct {
	lock      chan struct{} // held by whoever asks; others wait for the answer, or for the end of their context
	ca, root  []byte
	crl       []byte
	fetchedAt time.Time
}

// Collateral implements [Source]. Of a VLEK, and of a chip whose host hides its id, the service has no certificate, and the result is what is above
// it. A report of version 2 does not tell its product: Milan and Genoa are asked about in turn. An error is an [*Error] if a request failed.
func (c *Client) Collateral(ctx context.Context, p Platform) (*Collateral, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Product == "" && !p.Served() {
		return nil, errors.New("a report of version 2 does not tell its product, so it can't be told whose CA is asked for: the certificate of its key must come along (Platform.Of)")
	}
	base, err := parseBase(c.BaseURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if p.Product != "" {
		return c.product(ctx, base, p)
	}
	var errs []error
	for _, p.Product = range []string{Milan, Genoa} {
		col, err := c.product(ctx, base, p)
		if err == nil {
			return col, nil
		}
		errs = append(errs, err)
		if !unknown(err) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// unknown tells whether the service said that it has no such document.
func unknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest)
}

// product asks about a platform whose product is told. The certificate of the key goes first, since it alone is about the platform: an unknown one costs one request.
func (c *Client) product(ctx context.Context, base string, p Platform) (*Collateral, error) {
	col := new(Collateral)
	if p.Served() {
		query, err := vcekQuery(p)
		if err != nil {
			return nil, err
		}
		if col.Leaf, err = c.get(ctx, "VCEK certificate", base+"/vcek/v1/"+p.Product+"/"+query, isCertificate); err != nil {
			return nil, err
		}
	}
	shared, err := c.shared(ctx, base, p)
	if err != nil {
		return nil, err
	}
	col.CA, col.Root, col.CRL = shared.ca, shared.root, shared.crl
	return col, nil
}

// vcekQuery is the last part of the URL of a VCEK: {hwid}?{TCB}. Turin has a shorter id, and a TCB with the FMC.
func vcekQuery(p Platform) (string, error) {
	tcb := TCBOf(p.Product, p.TCB)
	if p.Product != Turin {
		return fmt.Sprintf("%x?blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d", p.ChipID, tcb.Bootloader, tcb.TEE, tcb.SNP, tcb.Microcode), nil
	}
	if hex.EncodeToString(p.ChipID[8:]) != strings.Repeat("0", 112) {
		return "", errors.New("platform: a Turin has a chip id of 8 bytes, and zeros behind it")
	}
	return fmt.Sprintf("%x?fmcSPL=%02d&blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d", p.ChipID[:8], tcb.FMC, tcb.Bootloader, tcb.TEE, tcb.SNP, tcb.Microcode), nil
}

// shared returns what all keys of the kind share, asked for at most once in ten minutes.
func (c *Client) shared(ctx context.Context, base string, p Platform) (*product, error) {
	url := base + "/" + p.SignedBy + "/v1/" + p.Product
	c.mu.Lock()
	if c.products == nil {
		c.products = map[string]*product{}
	}
	s := c.products[url]
	if s == nil {
		s = &product{lock: make(chan struct{}, 1)}
		c.products[url] = s
	}
	c.mu.Unlock()
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if age := c.clock().Sub(s.fetchedAt); s.ca != nil && age >= 0 && age < sameTime {
		return s.copy(), nil
	}
	chain, err := c.get(ctx, "certificate chain", url+"/cert_chain", isChain)
	if err != nil {
		return nil, err
	}
	crl, err := c.get(ctx, "revocation list", url+"/crl", isCRL)
	if err != nil {
		return nil, err
	}
	ca, rest := pem.Decode(chain)
	root, _ := pem.Decode(rest)
	s.ca, s.root, s.crl, s.fetchedAt = ca.Bytes, root.Bytes, crl, c.clock()
	return s.copy(), nil
}

func (s *product) copy() *product { return &product{ca: s.ca, root: s.root, crl: s.crl} }

func (c *Client) clock() time.Time {
	if c.now == nil {
		return time.Now()
	}
	return c.now()
}

// parseBase returns the base URL without a slash at its end.
func parseBase(raw string) (string, error) {
	if raw == "" {
		raw = AMD
	}
	u, err := url.Parse(raw)
	if err != nil || !fetch.Private(u) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", fmt.Errorf("key distribution service %s: want an https URL (http is for loopback addresses) without user, query and fragment, such as %s",
			fetch.Redact(raw), AMD)
	}
	return strings.TrimRight(u.String(), "/"), nil
}
