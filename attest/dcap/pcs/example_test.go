package pcs_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// A verifier with a cache before a collateral service. Without hardware and
// network, the platform and the service of its maker are simulated: leave Root
// out, and say "intel" in place of the URL, for genuine quotes.
func Example() {
	platform, err := simulated.New(simulated.Config{TEE: "tdx"})
	if err != nil {
		log.Fatal(err)
	}
	service := httptest.NewServer(simulated.NewPCS(platform))
	defer service.Close()
	dir, err := os.MkdirTemp("", "collateral")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	client, warnings, err := pcs.Open(service.URL, pcs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range warnings {
		log.Print(w)
	}
	cache, err := pcs.NewCache(pcs.CacheConfig{Source: client, Root: platform.Root(), Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	verifier := &dcap.Verifier{Root: platform.Root(), Collateral: cache}

	evidence, err := platform.Quote(context.Background(), [64]byte{1})
	if err != nil {
		log.Fatal(err)
	}
	report, err := verifier.Verify(context.Background(), &tee.Evidence{Platform: "dcap", Quote: evidence.Quote}, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.TEE, report.TCB.Status, report.TCB.EvaluationNumber)
	for _, e := range cache.Status() {
		fmt.Println(e.Platform, e.EvaluationNumber, e.Err)
	}
	// Output:
	// tdx UpToDate 17
	// tdx f0c7b0de0000 (platform CA) 17 <nil>
}

// The configuration of Intel's own libraries.
func ExampleParseQCNL() {
	q, err := pcs.ParseQCNL([]byte(`{
		// as /etc/sgx_default_qcnl.conf has it
		"pccs_url": "https://localhost:8081/sgx/certification/v4/",
		"use_secure_cert": false
	}`))
	if err != nil {
		log.Fatal(err)
	}
	url, err := q.URL()
	fmt.Println(url, q.UseSecureCert, err)
	// Output: https://localhost:8081/sgx/certification/v4/ false <nil>
}
