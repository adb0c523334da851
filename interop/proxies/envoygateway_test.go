package proxies

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"
	"time"
)

// TestEnvoyGatewaysExamples: the shipped configuration gives the verdicts that
// Envoy Gateway documents for the same policies.
func TestEnvoyGatewaysExamples(t *testing.T) {
	var documented struct {
		Tokens map[string]map[string]any
		Cases  []struct {
			Path, Token string
			Status      int
		}
	}
	text, err := os.ReadFile("../../gateway/extauthz/testdata/envoy-gateway.json")
	if err == nil {
		err = json.Unmarshal(text, &documented)
	}
	if err != nil {
		t.Fatal(err)
	}

	r := newRig(t)
	key := r.issuer.Keys()[0]
	der, err := x509.MarshalPKIXPublicKey(key.Public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.dir, "example.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	r.run(shipped(t, r.dir, "gateway-envoy-gateway.example.yaml", "127.0.0.1:9997", r.extAuthz, "127.0.0.1:9996", r.admin))
	r.gateway.waitFor(r.extAuthz)
	address := newEnvoy(t, r, true)

	ask := func(path, token string) int {
		var lines []string
		if token != "" {
			lines = []string{"Authorization: Bearer " + token}
		}
		res, _ := exchange(t, address, "GET", path, lines, "")
		if seen := r.service.reached(); (len(seen) == 1) != (res.StatusCode == 200) {
			t.Errorf("%s: got %d, and the service got %d requests", path, res.StatusCode, len(seen))
		}
		return res.StatusCode
	}
	sign := func(claims map[string]any) string {
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		return r.issuer.Sign(`{"typ":"JWT","alg":"ES256"}`, string(payload))
	}
	for _, tt := range documented.Cases {
		var token string
		if tt.Token != "" {
			claims := documented.Tokens[tt.Token]
			claims["exp"] = time.Now().Add(time.Minute).Unix() // theirs never expire
			token = sign(claims)
		}
		if got := ask(tt.Path, token); got != tt.Status {
			t.Errorf("%s by %q: got %d, want %d", tt.Path, tt.Token, got, tt.Status)
		}
	}
	forever := documented.Tokens["John Doe"]
	delete(forever, "exp")
	if got := ask("/", sign(forever)); got != 401 {
		t.Errorf("without exp: got %d, want 401", got)
	}
}
