package broker

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/exchange"
)

// Bounds of fresh evidence. A quote is expensive, and anybody may ask for one.
const (
	maxAskers   = 1024                   // that wait at a time
	freshWithin = 10 * time.Second       // one statement of the hardware; an asker waits no longer for his, either
	freshPause  = 250 * time.Millisecond // between two statements at least
	maxFresh    = 96 << 10               // bytes of a statement in the document
)

var (
	errCrowded = errors.New("too many ask for fresh evidence")
	errNonce   = fmt.Errorf("want one parameter, nonce, with %d to %d random bytes in base64url without padding (22 to 86 characters)",
		attest.MinFreshNonce, attest.MaxFreshNonce)
)

// freshness answers nonces with fresh evidence. All who wait are answered by one statement, in the order in
// which they came and up to [attest.MaxFreshNonces] at a time. There is one statement under way at most, and as long a pause
// after it as it took: hardware that makes one quote at a time is free for the keys for half of the time, and when they need it, it is theirs.
type freshness struct {
	config  *Config
	make    func(ctx context.Context, nonces [][]byte) ([]byte, error) // the document with a statement
	clients *clients

	mu      sync.Mutex
	waiting []*nonceAsker // the first to come first
	working bool          // somebody answers those who wait
	failing bool          // the newest statement could not be had; of who answers
}

// nonceAsker waits for an answer.
type nonceAsker struct {
	nonce  []byte
	answer chan freshAnswer // has room for it: who answers does not wait for those who left
}

type freshAnswer struct {
	document []byte // the same for all of one statement
	err      error
}

// ask waits for a document with a statement over the nonce.
func (f *freshness) ask(ctx context.Context, nonce []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, freshWithin)
	defer cancel()
	asker := &nonceAsker{nonce, make(chan freshAnswer, 1)}
	if err := f.enter(asker); err != nil {
		return nil, err
	}
	select {
	case a := <-asker.answer:
		return a.document, a.err
	case <-ctx.Done():
		f.leave(asker)
		return nil, ctx.Err()
	}
}

func (f *freshness) enter(asker *nonceAsker) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) >= maxAskers {
		return errCrowded
	}
	f.waiting = append(f.waiting, asker)
	if !f.working {
		f.working = true
		go f.work()
	}
	return nil
}

// leave makes no quote for an asker who has gone.
func (f *freshness) leave(asker *nonceAsker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = slices.DeleteFunc(f.waiting, func(a *nonceAsker) bool { return a == asker })
}

// work answers until nobody waits. It needs no context from outside: each of its steps ends by itself, and so does every asker's patience.
func (f *freshness) work() {
	for {
		f.mu.Lock()
		n := min(len(f.waiting), attest.MaxFreshNonces)
		batch := slices.Clone(f.waiting[:n])
		f.waiting = slices.Delete(f.waiting, 0, n)
		f.working = n > 0
		f.mu.Unlock()
		if n == 0 {
			return
		}
		began := time.Now() // with the monotonic reading: how long, and not when
		f.answer(batch)
		time.Sleep(min(max(freshPause, time.Since(began)), freshWithin))
	}
}

func (f *freshness) answer(batch []*nonceAsker) {
	ctx, cancel := context.WithTimeout(context.Background(), freshWithin)
	defer cancel()
	nonces := make([][]byte, len(batch))
	for i, asker := range batch {
		nonces[i] = asker.nonce
	}
	var a freshAnswer
	a.document, a.err = f.make(ctx, nonces)
	if a.err != nil && !f.failing { // once: strangers decide how often it is tried
		f.config.Logger.Warn("no fresh evidence can be had", "askers", len(batch), "err", a.err)
	}
	f.failing = a.err != nil
	for _, asker := range batch {
		asker.answer <- a
	}
}

// freshDocument is the document of now with a statement over the nonces. It vouches for the keys whose private halves are here:
// that those of earlier runs are, nobody can say.
func (b *Broker) freshDocument(ctx context.Context, nonces [][]byte) ([]byte, error) {
	if err := b.quoting.wait(ctx); err != nil { // so that the keys are those of after it
		return nil, err
	}
	now := b.attested.published.Load()
	fresh, err := b.quoting.statement(ctx, attest.FreshClaims{
		Issuer: b.config.Issuer, RulesDigest: now.rules, Time: b.config.wall().Truncate(time.Second), Keys: now.held, Nonces: nonces,
	})
	if err != nil {
		return nil, err
	}
	document := now.content
	document.Fresh = fresh
	return document.Marshal()
}

// serveFresh answers one nonce.
func (b *Broker) serveFresh(w http.ResponseWriter, r *http.Request, a asker) {
	if r.Method != http.MethodGet { // there is nothing to say of evidence that is made for one answer
		w.Header().Set("Allow", http.MethodGet)
		writeProblem(w, http.StatusMethodNotAllowed, "method_not_allowed", "fresh evidence is given to GET alone")
		return
	}
	nonce, err := parseNonce(r.URL.RawQuery)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, exchange.InvalidRequest, err.Error())
		return
	}
	if wait := b.fresh.clients.admit(a.remote, b.config.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		writeProblem(w, http.StatusTooManyRequests, "too_many_requests", "this address has asked for much fresh evidence; try again later")
		return
	}
	document, err := b.fresh.ask(r.Context(), nonce)
	switch {
	case errors.Is(err, errCrowded):
		writeUnavailable(w, "many ask for fresh evidence; try again later")
	case err != nil:
		writeUnavailable(w, "no fresh evidence can be had now; try again later")
	default:
		// Cache-Control is no-store, as for all that is made for one asker.
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the asker has gone; there is nobody to tell
	}
}

// parseNonce reads the query of a request for fresh evidence: a nonce and nothing else, so that
// nobody takes an answer for one to what is not known here.
func parseNonce(query string) ([]byte, error) {
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 1 || len(values["nonce"]) != 1 {
		return nil, errNonce
	}
	text := values.Get("nonce")
	nonce, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || len(nonce) < attest.MinFreshNonce || len(nonce) > attest.MaxFreshNonce {
		return nil, errNonce
	}
	return nonce, nil
}
