package nsm_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	hf "github.com/hf/nsm"

	"github.com/confidential-token-broker/ctb/attest/nsm"
)

// Where there is no device, the error says what was looked for.
func ExampleQuoter_Detect() {
	enclave := &nsm.Quoter{Options: &hf.Options{ // nil in an enclave
		Open: func() (hf.FileDescriptor, error) { return os.Open("testdata/no/such/device") },
	}}
	_, err := enclave.Detect(context.Background())
	fmt.Println(errors.Is(err, os.ErrNotExist))
	fmt.Println(err)
	// Output:
	// true
	// nsm: open testdata/no/such/device: no such file or directory: is this a Nitro Enclave, and its driver loaded (modprobe nsm)?
}
