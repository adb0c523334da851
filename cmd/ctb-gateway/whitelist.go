package main

import (
	"fmt"

	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const usageHash = `usage: ctb-gateway hash-whitelist FILE

Writes the whitelist to standard output with the SHA-256 of each key in place of
the key, so that who reads the file cannot use them. The gateway takes either form.

`

// hashWhitelist is the command of that name.
func (p *program) hashWhitelist(args []string) int {
	flags := p.flagSet("hash-whitelist", usageHash)
	if status, ok := parse(flags, args); !ok {
		return status
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return exitUsage
	}
	path := flags.Arg(0)
	text, err := fetch.File(path, credential.MaxWhitelist)
	if err != nil {
		return p.ended(err)
	}
	hashed, err := credential.HashWhitelist(text)
	if err != nil {
		return p.ended(fmt.Errorf("%s: %w", path, err))
	}
	_, err = p.stdout.Write(hashed)
	return p.ended(err)
}
