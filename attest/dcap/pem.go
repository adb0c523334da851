package dcap

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

var (
	pemBegin = []byte("-----BEGIN CERTIFICATE-----")
	pemEnd   = []byte("-----END CERTIFICATE-----")
)

// maxCertificate bounds one certificate, in bytes of its base64, and so the names in errors; genuine ones have some 1.7 KiB.
const maxCertificate = 8 << 10

// decodePEM returns the DER of exactly n certificates. It is stricter than
// encoding/pem: no text around the blocks, no headers, canonical base64 (so
// that no bit of the text is indifferent); only line breaks are free.
func decodePEM(text []byte, n int) ([][]byte, error) {
	ders := make([][]byte, 0, n)
	for {
		text = bytes.TrimLeft(text, "\r\n")
		if len(text) == 0 {
			break
		}
		if len(ders) == n {
			return nil, fmt.Errorf("got more than %d PEM certificates, or something behind them", n)
		}
		der, rest, err := cutPEM(text)
		if err != nil {
			return nil, fmt.Errorf("PEM certificate %d of %d: %w", len(ders)+1, n, err)
		}
		ders, text = append(ders, der), rest
	}
	if len(ders) != n {
		return nil, fmt.Errorf("got %d PEM certificates, want %d", len(ders), n)
	}
	return ders, nil
}

func cutPEM(text []byte) (der, rest []byte, err error) {
	body, ok := bytes.CutPrefix(text, pemBegin)
	if !ok {
		return nil, nil, fmt.Errorf("want %q at its start", pemBegin)
	}
	body, rest, ok = bytes.Cut(body, pemEnd)
	if !ok {
		return nil, nil, fmt.Errorf("want %q at its end", pemEnd)
	}
	if len(body) > maxCertificate {
		return nil, nil, fmt.Errorf("got %d bytes of base64, want at most %d", len(body), maxCertificate)
	}
	der = make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, err := base64.StdEncoding.Strict().Decode(der, body)
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, errors.New("it is empty")
	}
	return der[:n], rest, nil
}
