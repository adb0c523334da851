package gramine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/confidential-token-broker/ctb/attest/gramine"
)

// Where there is no Gramine, the error says what was looked for.
func ExampleQuoter_Detect() {
	enclave := &gramine.Quoter{Dir: "testdata/no/such/folder"} // empty in an enclave
	_, err := enclave.Detect(context.Background())
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	fmt.Println(err)
	// Output:
	// true
	// gramine: open testdata/no/such/folder/attestation_type: no such file or directory: this process does not run in an SGX enclave under Gramine (gramine-direct has no such file)
}
