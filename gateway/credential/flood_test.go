package credential

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// A flood of tokens with key ids that nobody has causes one fetch, and holds nobody else up.
func TestAFloodOfKeyIDs(t *testing.T) {
	var fetches atomic.Int64
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: "ES256", Algorithm: "ES256", Key: signers()["ES256"].Public()})
	if err != nil {
		t.Fatal(err)
	}
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		fmt.Fprintf(w, `{"keys":[%s]}`, jwk)
	}))
	defer source.Close()
	var passed atomic.Int64 // ns since now
	clock := func() time.Time { return now.Add(time.Duration(passed.Load())) }
	keys := &ctb.RemoteKeys{URL: source.URL, Client: source.Client(), Now: clock}
	a, err := NewTokens([]Issuer{{issuerName, verifier(t, func(c *ctb.Config) { c.Keys, c.Now = keys, clock })}})
	if err != nil {
		t.Fatal(err)
	}
	good := bearing(mint(t, "ES256", nil))
	parts := strings.Split(mint(t, "ES256", nil), ".")
	flood := func() {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 125 {
					kid := fmt.Sprintf(`{"alg":"ES256","kid":"random-%d-%d"}`, i, j)
					_, err := a.Authenticate(bearing(b64(kid) + "." + parts[1] + "." + parts[2]))
					if ctb.FaultOf(err) != ctb.UnknownKey {
						t.Errorf("got %v", err)
					}
				}
				if _, err := a.Authenticate(good); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	flood()
	passed.Store(int64(29 * time.Second))
	flood()
	if n := fetches.Load(); n != 1 {
		t.Errorf("2,000 tokens in 30 s caused %d fetches", n)
	}
	passed.Store(int64(31 * time.Second))
	flood()
	if n := fetches.Load(); n != 2 {
		t.Errorf("after 31 s there were %d fetches", n)
	}
}
