package tsm_test

import (
	"context"
	"fmt"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"

	"github.com/confidential-token-broker/ctb/attest/tsm"
)

// A provider whose evidence nobody here could verify is refused by its name.
func ExampleQuoter_Detect() {
	kernel := &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": faketsm.ReportV7(0)}}
	guest := &tsm.Quoter{Client: kernel} // nil in a guest
	_, err := guest.Detect(context.Background())
	fmt.Println(err)
	// Output:
	// configfs-tsm: the provider here is "fake", want "tdx_guest" or "sev_guest"
}
