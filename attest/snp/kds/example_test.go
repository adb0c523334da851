package kds_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// A program keeps what AMD's service says, in memory or in a directory.
func ExampleNewCache() {
	chip, err := snptest.New(snptest.Config{Product: kds.Genoa})
	if err != nil {
		log.Fatal(err)
	}
	service := httptest.NewServer(snptest.NewService(chip)) // in production: kds.Open("amd", nil)
	defer service.Close()
	client, err := kds.Open(service.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	cache, err := kds.NewCache(kds.CacheConfig{Source: client, Root: chip.Root()}) // in production: no Root, which means AMD's
	if err != nil {
		log.Fatal(err)
	}
	collateral, err := cache.Collateral(context.Background(), chip.About())
	if err != nil {
		log.Fatal(err)
	}
	chain, err := collateral.Verify(chip.Root())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(chain.Root.Subject.CommonName, chain.CA.Subject.CommonName, chain.Key.ProductName, chain.AMD)
	// Output: ARK-Genoa SEV-Genoa Genoa-B0 false
}

// A broker puts together what goes along with its evidence: the host's certificates, with the revocation list.
func ExampleStaple() {
	chip, err := snptest.New(snptest.Config{SignedBy: kds.VLEK})
	if err != nil {
		log.Fatal(err)
	}
	report, err := chip.Report([64]byte{1})
	if err != nil {
		log.Fatal(err)
	}
	came, err := kds.FromTable(chip.Table()) // the auxblob of configfs-tsm
	if err != nil {
		log.Fatal(err)
	}
	collateral, err := kds.Staple(context.Background(), chip, report, came)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(collateral.Leaf) > 0, len(collateral.CRL) > 0)
	// Output: true true
}
