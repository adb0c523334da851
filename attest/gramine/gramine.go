// Package gramine gets evidence of an SGX enclave from Gramine, the library OS that it runs under, which shows
// it as files below /dev/attestation (Gramine's documentation, "Attestation and Secret Provisioning").
//
// It asks, and checks that the quote carries the report data that was asked for. Whether a quote is genuine is the
// question of package dcap; sealing keys, which Gramine keeps in the same folder, are none of its business.
package gramine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/patient"
)

// Dir is where Gramine shows its files.
const Dir = "/dev/attestation"

// The files, below the folder.
const (
	fileType  = "attestation_type"
	fileData  = "user_report_data"
	fileQuote = "quote"
)

const (
	maxType  = 64
	maxQuote = 16 << 10 // bytes; Gramine's own buffer has half of it
)

// Quoter gets quotes from Gramine. It is safe for concurrent use: what Gramine is told goes for all of the process, so
// all Quoters of one folder stand in one line, and one quote is under way at a time.
type Quoter struct {
	Dir string // where Gramine shows its files; empty means [Dir]
}

// lines holds the *patient.Line of each folder. It is of the package, since the report data that is written is kept once for all of the
// process: between write and read of one Quoter, no other may write ("This pseudo-FS interface is not thread-safe", libos/src/fs/dev/attestation.c).
var lines sync.Map

func (q *Quoter) dir() string {
	if q.Dir == "" {
		return Dir
	}
	return filepath.Clean(q.Dir)
}

func (q *Quoter) line() *patient.Line {
	l, _ := lines.LoadOrStore(q.dir(), new(patient.Line))
	return l.(*patient.Line)
}

// Detect tells whether quotes can be had here, without asking for one. It returns the
// type of the attestation, which is "dcap".
func (q *Quoter) Detect(ctx context.Context) (string, error) {
	kind, err := patient.Do(ctx, q.line(), q.kind)
	if err != nil {
		return "", fmt.Errorf("gramine: %w", q.slow(err))
	}
	return kind, nil
}

// Quote returns a DCAP quote of the enclave with data as its report data. It comes without collateral.
func (q *Quoter) Quote(ctx context.Context, data [64]byte) (*tee.Evidence, error) {
	quote, err := patient.Do(ctx, q.line(), func() ([]byte, error) {
		if _, err := q.kind(); err != nil {
			return nil, err
		}
		if err := q.write(data); err != nil {
			return nil, err
		}
		return q.read()
	})
	if err == nil {
		err = check(quote, data)
	}
	if err != nil {
		return nil, fmt.Errorf("gramine: %w", q.slow(err))
	}
	return &tee.Evidence{Platform: tee.DCAP, Quote: quote}, nil
}

// slow adds what may be slow about a call that has not come back.
func (q *Quoter) slow(err error) error {
	if !errors.Is(err, patient.ErrNotBack) {
		return err
	}
	return fmt.Errorf("%s: %w; see whether the AESM service on the host answers, and the quote provider library its PCCS", q.dir(), err)
}

// kind reads the type of the attestation, and says what is wrong with any other than "dcap".
func (q *Quoter) kind() (string, error) {
	text, err := q.readFile(fileType, maxType)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: this process does not run in an SGX enclave under Gramine (gramine-direct has no such file)", err)
	}
	if err != nil {
		return "", err
	}
	switch kind := strings.TrimSpace(string(text)); kind {
	case "dcap":
		return kind, nil
	case "none":
		return "", q.fault(fileType, `got "none": remote attestation is off; set sgx.remote_attestation = "dcap" in the manifest and sign it anew`)
	case "epid":
		return "", q.fault(fileType, `got "epid", whose service Intel has ended; set sgx.remote_attestation = "dcap" in the manifest and sign it anew`)
	default:
		return "", q.fault(fileType, `got %.20q, want "dcap": set sgx.remote_attestation = "dcap" in the manifest and sign it anew`, kind)
	}
}

// write tells Gramine the report data, all of it by one call: it would fill what is missing with zeros, and a
// second call would begin anew. The file is neither made nor cut, so that a folder that is not Gramine's stays as it is.
func (q *Quoter) write(data [64]byte) error {
	f, err := os.OpenFile(filepath.Join(q.dir(), fileData), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data[:])
	return errors.Join(err, f.Close())
}

// read gets the quote, which Gramine makes when its file is opened.
func (q *Quoter) read() ([]byte, error) {
	quote, err := q.readFile(fileQuote, maxQuote)
	if err == nil && len(quote) == 0 {
		err = q.fault(fileQuote, "it is empty, want a quote; see the log of the AESM service")
	}
	return quote, unmade(err)
}

// unmade adds what to do about a quote that was not made. Whatever went wrong between the enclave and its host, Gramine
// says that permission is denied.
func unmade(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: Gramine got no quote from its host; see whether the AESM service runs there, the enclave can reach its socket "+
		"(/var/run/aesmd/aesm.socket), and the quote provider library its PCCS (sgx_default_qcnl.conf)", err)
}

// readFile reads a file of at most max bytes.
func (q *Quoter) readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(q.dir(), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, q.fault(name, "got more than %d bytes", max)
	}
	return data, nil
}

func (q *Quoter) fault(name, format string, args ...any) error {
	return fmt.Errorf("%s: %w", filepath.Join(q.dir(), name), fmt.Errorf(format, args...))
}

// check tells whether it is a quote of an enclave, whole, that carries the report data that was asked for.
func check(quote []byte, data [64]byte) error {
	parsed, err := dcap.ParseQuote(quote)
	switch {
	case err != nil:
		return fmt.Errorf("got %d bytes that are no whole quote: %w", len(quote), err)
	case parsed.Enclave == nil:
		return errors.New("got a quote of TDX, want one of SGX")
	case !bytes.Equal(parsed.Enclave.ReportData[:], data[:]):
		return fmt.Errorf("the quote carries other report data than was asked for: got %x, want %x; does anything else in this process write to %s?",
			parsed.Enclave.ReportData, data, fileData)
	}
	return nil
}
