package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// exchange returns a token, or none if the broker gives none now, or an error if it has gone.
func (k *killing) exchange(ctx context.Context, p *process) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/token", strings.NewReader(form(k.idToken).Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", formType)
	body, status, err := k.do(r)
	if err != nil || status != http.StatusOK {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	return answer.Token, json.Unmarshal(body, &answer)
}

// do reads the whole answer: half a token is none.
func (k *killing) do(r *http.Request) ([]byte, int, error) {
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if n, atoi := strconv.Atoi(resp.Header.Get("Content-Length")); err == nil && atoi == nil && n != len(body) {
		err = io.ErrUnexpectedEOF
	}
	return body, resp.StatusCode, err
}

// snapshot is one key set that was fetched: each key judged by itself, and only once.
type snapshot map[string]*attest.KeySet

func (s snapshot) Key(ctx context.Context, kid string) (ctb.Key, error) {
	if s[kid] == nil {
		return ctb.Key{}, ctb.ErrUnknownKey
	}
	return s[kid].Key(ctx, kid)
}

// keySet fetches the key set and judges the evidence of its keys; at is when it had arrived.
func (l *lane) keySet(ctx context.Context, p *process) (keys snapshot, at time.Time, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, at, err
	}
	body, status, err := l.do(r)
	at = l.clock.now()
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("got %d: %.200s", status, body)
	}
	if err != nil {
		return nil, at, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) > jose.MaxKeys {
		return nil, at, fmt.Errorf("%d keys: %w", len(set.Keys), err)
	}
	keys = snapshot{}
	for _, jwk := range set.Keys {
		var id struct {
			KeyID string `json:"kid"`
		}
		if err := json.Unmarshal(jwk, &id); err != nil {
			return nil, at, err
		}
		if keys[id.KeyID], err = l.judge(ctx, jwk); err != nil {
			return nil, at, err
		}
	}
	return keys, at, nil
}

func (l *lane) judge(ctx context.Context, jwk []byte) (*attest.KeySet, error) {
	sum := sha256.Sum256(jwk)
	l.mu.Lock()
	known := l.judged[sum]
	l.mu.Unlock()
	if known != nil {
		return known, nil
	}
	policy := &attest.Policy{
		Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
		Issuer: brokerURL + l.path, SimulatedRoot: "root.pem",
	}
	set, err := attest.ParseKeys(ctx, fmt.Appendf(nil, `{"keys":[%s]}`, jwk), attest.Config{
		Policy: policy, Now: l.clock.now,
		Platforms: []attest.Verifier{&dcap.Verifier{Root: l.hardware.Root(), Collateral: l.hardware.Collateral()}},
	})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", hex.EncodeToString(sum[:4]), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judged[sum] = set
	return set, nil
}
