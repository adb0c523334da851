package attest_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// shortLived is hardware whose evidence can be verified for three hours, as that of Nitro, whose leaf certificate lives no longer.
type shortLived struct{ *fakeTEE }

func newShortLived() shortLived { return shortLived{newOther("nitro", nitroDocument)} }

const evidenceLife = 3 * time.Hour

func (s shortLived) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	e, err := s.fakeTEE.Quote(ctx, data)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	binary.BigEndian.PutUint64(e.Quote[len(e.Quote)-8:], uint64(now.Unix()))
	e.NotAfter = now.Add(evidenceLife)
	return e, nil
}

func (s shortLived) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	made := time.Unix(int64(binary.BigEndian.Uint64(e.Quote[len(e.Quote)-8:])), 0)
	life := *s.fakeTEE
	life.report.Collateral = attest.Window{NotBefore: made, NotAfter: made.Add(evidenceLife)}
	return life.Verify(ctx, e, at)
}

// certifyNow makes evidence for a key that lives for a week.
func (s shortLived) certifyNow(t testing.TB, key crypto.Signer, issued time.Time) []byte {
	b := binding()
	b.Issued, b.Expires = issued, issued.Add(7*24*time.Hour)
	return jwkSet(jwk(t, made(attest.Certify(t.Context(), s, key, b))))
}

// A broker renews the evidence of its key, under the same name, 50 minutes before it ends. Whoever checks tokens must have seen
// that in time, however long it may keep the keys: at no instant is the key refused, even if the broker can't be asked for half an hour around the end.
func TestKeySetNeverMissesRenewedEvidence(t *testing.T) {
	for _, cacheControl := range []string{"", "max-age=60", "max-age=86400"} {
		t.Run(cacheControl, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				hardware, key := newShortLived(), newP256(t)
				jwks := hardware.certifyNow(t, key, begin)
				var fetches atomic.Int32
				var ends atomic.Pointer[time.Time] // when the evidence ends that was there before what is there now
				ends.Store(&time.Time{})
				client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == attest.WellKnownAttestation {
						return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody}, nil
					}
					fetches.Add(1)
					if left := time.Until(*ends.Load()); left.Abs() < 15*time.Minute {
						return nil, fmt.Errorf("out of reach %v before evidence ends", left)
					}
					return &http.Response{StatusCode: 200, Header: http.Header{"Cache-Control": {cacheControl}}, Body: io.NopCloser(bytes.NewReader(jwks))}, nil
				})}
				set := made(attest.NewKeySet(attest.Config{URL: issuer, Policy: anyPolicy(), Platforms: []attest.Verifier{hardware}, Client: client}))
				kid := made(jose.Thumbprint(key.Public()))
				renewed := begin
				for time.Since(begin) < 24*time.Hour {
					if time.Since(renewed) >= evidenceLife-50*time.Minute {
						end := renewed.Add(evidenceLife)
						ends.Store(&end)
						jwks, renewed = hardware.certifyNow(t, key, begin), time.Now()
					}
					if _, err := set.Key(t.Context(), kid); err != nil {
						t.Fatalf("after %v: %v", time.Since(begin), err)
					}
					synctest.Wait() // for what is fetched meanwhile
					time.Sleep(13 * time.Second)
				}
				if n := fetches.Load(); n > 24*60+100 {
					t.Errorf("got %d fetches in a day", n)
				} else {
					t.Logf("%d fetches in a day", n)
				}
			})
		})
	}
}

// Evidence that is not renewed is trusted to its end and no longer, and the broker is not asked more than once a minute for it.
func TestKeySetEvidenceThatIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		hardware, key := newShortLived(), newP256(t)
		jwks := hardware.certifyNow(t, key, begin)
		var fetches int
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			fetches++
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(jwks))}, nil
		})}
		c := attest.Config{URL: issuer + "/keys.json", Issuer: issuer, Policy: anyPolicy(), Platforms: []attest.Verifier{hardware}, Client: client}
		set, kid := made(attest.NewKeySet(c)), made(jose.Thumbprint(key.Public()))
		for ; time.Since(begin) <= evidenceLife; time.Sleep(10 * time.Second) {
			if _, err := set.Key(t.Context(), kid); err != nil {
				t.Fatalf("after %v: %v", time.Since(begin), err)
			}
			synctest.Wait()
		}
		if fetches > 3*6+10 {
			t.Errorf("got %d fetches in three hours", fetches)
		}
		_, err := set.Key(t.Context(), kid)
		wantError(t, err, "collateral that ended at 2000-01-01T03:00:00Z")

		// As soon as it is renewed, it is accepted.
		jwks = hardware.certifyNow(t, key, begin)
		time.Sleep(31 * time.Second)
		if _, err := set.Key(t.Context(), kid); err != nil {
			t.Error(err)
		}
	})
}
