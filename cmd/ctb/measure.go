package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/sigstruct"
)

const measureLong = `Measure tells what the hardware will say of a build, before anything runs, so
that it can be compared with what "ctb inspect" shows of a broker, and written
into a policy.

What it reads, recognised by its content:
  an enclave's signature  a SIGSTRUCT, such as the ctb-broker.sig that Gramine's
                          signer writes: mrenclave, mrsigner, isvprodid, isvsvn
  any other file          its SHA-256, by which two builds are compared, and the
                          value of TDX's rtmr3 in a guest whose unit measures
                          this file, and nothing else, into that register
                          (deploy/guest)

The measurement of a whole guest (mrtd, rtmr0 to rtmr2; SEV-SNP's measurement)
and of a Nitro image depends on its firmware and kernel, which this command does
not have.

--json writes sha256, bytes and tdx: {rtmr3}; of a SIGSTRUCT, in the place of
tdx, sgx: {mrenclave, mrsigner, isvprodid, isvsvn, debug}, where debug is no,
yes or any.

Exit codes: 0 measured; 1 it looks like a SIGSTRUCT and is not a good one; 2
called wrongly.`

const measureExample = `  # from the root of the source
  make release
  go run ./cmd/ctb measure bin/release/ctb-broker`

// measured is the JSON form: names are stable, and members are only ever added.
type measured struct {
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`

	TDX *tdxMeasured `json:"tdx,omitempty"` // of a file that a guest's unit measures
	SGX *sgxMeasured `json:"sgx,omitempty"` // of a SIGSTRUCT
}

type tdxMeasured struct {
	RTMR3 string `json:"rtmr3"`
}

type sgxMeasured struct {
	MRENCLAVE string `json:"mrenclave"`
	MRSIGNER  string `json:"mrsigner"`
	ISVProdID int    `json:"isvprodid"`
	ISVSVN    int    `json:"isvsvn"`
	Debug     string `json:"debug"` // "no", "yes" or "any"
}

func newMeasure(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "measure FILE",
		Short:   "Tell what the hardware will say of a build",
		Long:    measureLong,
		Example: measureExample,
		Args:    oneArg("a file: a program, or an enclave's signature"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := measure(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(s.out, m)
			}
			return printMeasured(s.report(), args[0], m)
		},
		ValidArgsFunction: completeFiles(),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// measure reads a file once, whatever its size.
func measure(ctx context.Context, path string) (*measured, error) {
	const fix = "name a program, or an enclave's signature"
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // before it is opened: a pipe would wait for its writer
		return nil, usagef(fix, "%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef(fix, "%w", err)
	}
	defer f.Close()
	short, long := sha256.New(), sha512.New384()
	head := new(beginning)
	n, err := io.Copy(io.MultiWriter(short, long, head), cancelled{ctx, f})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := &measured{SHA256: hex.EncodeToString(short.Sum(nil)), Bytes: n}
	if n != sigstruct.Size {
		m.TDX = &tdxMeasured{hex.EncodeToString(extended(long.Sum(nil)))}
		return m, nil
	}
	s, err := sigstruct.Parse(head.data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.SGX = &sgxMeasured{
		MRENCLAVE: hex.EncodeToString(s.MRENCLAVE[:]), MRSIGNER: hex.EncodeToString(s.MRSIGNER[:]),
		ISVProdID: int(s.ISVProdID), ISVSVN: int(s.ISVSVN),
		Debug: map[sigstruct.Demand]string{sigstruct.NotSet: "no", sigstruct.Set: "yes", sigstruct.Any: "any"}[s.Debug],
	}
	return m, nil
}

// extended is the value of a run-time register that was zero and got one digest: the
// hardware makes it SHA-384(old ‖ new) (Intel TDX Module ABI, TDG.MR.RTMR.EXTEND).
func extended(digest []byte) []byte {
	sum := sha512.Sum384(append(make([]byte, sha512.Size384), digest...))
	return sum[:]
}

// beginning keeps what a SIGSTRUCT may be.
type beginning struct{ data []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), sigstruct.Size-len(b.data))]...)
	return len(p), nil
}

// cancelled ends reading when its context does.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func printMeasured(w *report.Writer, path string, m *measured) error {
	w.Title(path)
	w.Row("sha256", m.SHA256)
	w.Row("size", fmt.Sprintf("%d bytes", m.Bytes))
	switch {
	case m.TDX != nil:
		w.Row("tdx rtmr3", m.TDX.RTMR3, "in a guest whose unit measures this file, and nothing else, into rtmr3")
	case m.SGX != nil:
		x := m.SGX
		w.Row("mrenclave", x.MRENCLAVE)
		w.Row("mrsigner", x.MRSIGNER)
		w.Row("isvprodid", fmt.Sprint(x.ISVProdID))
		w.Row("isvsvn", fmt.Sprint(x.ISVSVN))
		switch x.Debug {
		case "no":
			w.Row("debug", "no: it can't be loaded as a debug enclave")
		case "yes":
			w.Check(report.Warn, "debug", "yes: its host can read it, and policies refuse it")
		default:
			w.Row("debug", "whoever loads it chooses; evidence tells which")
		}
	}
	return w.Err()
}
