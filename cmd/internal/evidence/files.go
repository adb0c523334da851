package evidence

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// Bounds of files, in bytes. Collateral, the largest, has about 30 KiB; Intel's API keys have 32 digits.
const (
	maxFile = 1 << 20
	maxKey  = 1 << 10
)

// Root reads a root certificate: one certificate, PEM or DER.
func Root(path string) (*x509.Certificate, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	der := data
	if block, rest := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: got PEM of %q, want CERTIFICATE", path, block.Type)
		}
		if more, _ := pem.Decode(rest); more != nil {
			return nil, fmt.Errorf("%s: got several PEM blocks, want one root certificate", path)
		}
		der = block.Bytes
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: not a certificate, PEM or DER: %w", path, err)
	}
	return cert, nil
}

// File is what a collateral file has: that of one platform.
type File struct {
	DCAP *dcap.Collateral // Intel's; nil if it is not
	SNP  *kds.Collateral  // AMD's; nil if it is not
}

// ReadCollateral reads a collateral file, the JSON form of [dcap.ParseCollateral] or of [kds.ParseCollateral].
// Which one it is is told by the names of its members.
func ReadCollateral(path string) (*File, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	f, err := ParseFile(data)
	if err != nil {
		return nil, fmt.Errorf("collateral %s: %w", path, err)
	}
	return f, nil
}

// readKey reads an API key. Its content is never part of an error.
func readKey(path string) (string, error) {
	data, err := fetch.File(path, maxKey)
	if err != nil {
		return "", fmt.Errorf("API key: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if err := checkKey(key); err != nil {
		return "", fmt.Errorf("API key %s: %w", path, err)
	}
	return key, nil
}

// checkKey refuses what can't be the value of one HTTP header.
func checkKey(key string) error {
	if key == "" {
		return errors.New("the file is empty")
	}
	if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("want one word of printable ASCII")
	}
	return nil
}
