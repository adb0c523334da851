package nitro_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/hf/nitrite"
)

// awsRoot is the root that package nitrite has.
func awsRoot(t testing.TB) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode([]byte(nitrite.DefaultCARoots))
	if block == nil || strings.TrimSpace(string(rest)) != "" {
		t.Fatal("nitrite has not one root")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestRootIsAWSs compares nitrite's root with the fingerprint that AWS publishes in its user guide.
func TestRootIsAWSs(t *testing.T) {
	const published = "64:1A:03:21:A3:E2:44:EF:E4:56:46:31:95:D6:06:31:7E:D7:CD:CC:3C:17:56:E0:98:93:F3:C6:8F:79:BB:5B"
	digest := sha256.Sum256(awsRoot(t).Raw)
	if got := hex.EncodeToString(digest[:]); got != strings.ToLower(strings.ReplaceAll(published, ":", "")) {
		t.Errorf("got %s, want %s", got, published)
	}
}
