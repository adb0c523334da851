package blackbox

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// newKey makes a key pair.
func newKey(t testing.TB, algorithm string) *devidp.Key {
	t.Helper()
	key, err := devidp.NewKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// publicPEM is the public half of a key as openssl writes it.
func publicPEM(t testing.TB, key *devidp.Key) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// jwks is a JWK set.
func jwks(t testing.TB, keys ...*devidp.Key) []byte {
	t.Helper()
	var set [][]byte
	for _, k := range keys {
		jwk, err := jose.MarshalJWK(jose.JWK{KeyID: k.ID, Algorithm: k.Algorithm, Key: k.Private.Public()})
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, jwk)
	}
	return fmt.Appendf(nil, `{"keys":[%s]}`, bytes.Join(set, []byte(",")))
}

// issuer serves a JWK set, and counts who asks.
type issuer struct {
	url     string
	fetches atomic.Int64
}

func newIssuer(t testing.TB, set []byte) *issuer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveIssuer(t, listener, set)
}

func serveIssuer(t testing.TB, listener net.Listener, set []byte) *issuer {
	t.Helper()
	i := &issuer{url: "http://" + listener.Addr().String()}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(set)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return i
}

// instant is a time in the claims of a script.
var instant = regexp.MustCompile(`"now([+-][0-9]+)"`)

// claims are the payload of a token as it is written, with its instants, and an expiry.
func claims(text string, expires bool) string {
	now := time.Now().Unix()
	text = instant.ReplaceAllStringFunc(text, func(s string) string {
		d, _ := strconv.ParseInt(instant.FindStringSubmatch(s)[1], 10, 64)
		return strconv.FormatInt(now+d, 10)
	})
	if expires && !strings.Contains(text, `"exp"`) {
		comma := ","
		if strings.TrimSpace(text) == "{}" {
			comma = ""
		}
		text = strings.Replace(text, "{", fmt.Sprintf(`{"exp":%d%s`, now+300, comma), 1)
	}
	return text
}

// sign makes a token; an empty header is the key's own.
func sign(t testing.TB, key *devidp.Key, header, payload string) string {
	t.Helper()
	if header == "" {
		header = fmt.Sprintf(`{"alg":%q,"typ":"JWT"}`, key.Algorithm)
	}
	token, err := key.Sign([]byte(header), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token
}
