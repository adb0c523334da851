package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// The platforms of the scripts that lag behind, by the names of their quotes. All are of one maker.
var oldPlatforms = map[string]simulated.Config{
	"sgx-old.quote": {TEE: "sgx", FMSPC: "0a0a0a0a0a0a", CA: "processor", Status: attest.OutOfDateConfigurationNeeded},
	"tdx-old.quote": {TEE: "tdx", FMSPC: "0b0b0b0b0b0b", QuoteVersion: 5, TD15: true, Status: attest.OutOfDate, ModuleStatus: attest.OutOfDate, QEStatus: attest.OutOfDate},
	"tdx.quote":     {TEE: "tdx", FMSPC: "0c0c0c0c0c0c"},
}

// startPCS starts a collateral service for the platforms of a script, and writes their quotes. The script
// has its URL in $PCS, with TLS in $PCSTLS, and that of its face as a PCCS in $PCCS; and the command "pcs".
func startPCS(e *testscript.Env, dir string) error {
	base := simulated.Config{Seed: make([]byte, 32), Now: simulatedAt, ISVSVN: 7}
	first, err := simulated.New(base)
	if err != nil {
		return err
	}
	platforms := []*simulated.Platform{first}
	for name, c := range oldPlatforms {
		c.Seed, c.Now = base.Seed, base.Now
		p, err := simulated.New(c)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		quote, err := p.Quote(context.Background(), [64]byte{0xda, 0x7a})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), quote.Quote, 0o600); err != nil {
			return err
		}
		platforms = append(platforms, p)
	}
	service := simulated.NewPCS(platforms...)
	service.Now = func() time.Time { return simulatedAt }
	for variable, h := range map[string]http.Handler{"PCS": service, "PCCS": service.PCCS()} {
		server := httptest.NewServer(h)
		e.Defer(func() { service.Fail(""); server.Close() })
		e.Setenv(variable, server.URL)
	}
	secure := httptest.NewTLSServer(service)
	e.Defer(secure.Close)
	e.Setenv("PCSTLS", secure.URL)
	e.Values[pcsKey{}] = service
	return os.WriteFile(filepath.Join(dir, "pcs-ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600)
}

type pcsKey struct{}

// pcsCommand makes the script's collateral service fail, or publish.
//
//	pcs fail FAULT [DOCUMENT…]   an empty fault ends it
//	pcs publish NUMBER
func pcsCommand(ts *testscript.TestScript, neg bool, args []string) {
	service, ok := ts.Value(pcsKey{}).(*simulated.PCS)
	switch {
	case neg || !ok || len(args) < 2:
		ts.Fatalf("usage: pcs fail FAULT [DOCUMENT…] | pcs publish NUMBER")
	case args[0] == "fail":
		service.Fail(simulated.PCSFault(args[1]), args[2:]...)
	case args[0] == "publish":
		number, err := strconv.ParseUint(args[1], 10, 32)
		ts.Check(err)
		service.Publish(uint32(number))
	default:
		ts.Fatalf("pcs: no such command %q", args[0])
	}
}
