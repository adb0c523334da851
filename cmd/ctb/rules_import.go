package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/rules"
)

const importLong = `Import decrypts a rule file of the original confidential token broker
(AES-128-CTR) and writes it as plain JSON, byte for byte, after checking that
it is a rule file.

Key and IV are 32 hex digits each, in files or environment variables: never
arguments, which others can see. The original's published key and IV are all
zero; that is no protection, so --zero-key must say it.

The encrypted form has no integrity: whoever could write to the file could
change the rules. Read what comes out before you deploy it.

Exit codes: 0 imported; 1 it is not a rule file under this key; 2 called
wrongly.`

const importExample = `  ctb rules import cmd/ctb/testdata/rules/original.enc --zero-key

  # the key from a file, the IV from the environment
  ctb rules import config.enc --key-file key.hex --iv-env IV --out rules.json`

// importFlags is what the command line says.
type importFlags struct {
	keyFile, keyEnv, ivFile, ivEnv string
	zeroKey                        bool
	out                            string
}

func newRulesImport(s streams) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:     "import FILE|-",
		Short:   "Decrypt a rule file of the original broker",
		Long:    importLong,
		Example: importExample,
		Args:    oneArg("an encrypted rule file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rulesImport(cmd.Context(), s, args[0], f)
		},
		ValidArgsFunction: completeFiles("enc", "json", "bin"),
	}
	flags := cmd.Flags()
	flags.Var(text{&f.keyFile, "FILE"}, "key-file", "file with the key, 32 hex digits")
	flags.Var(text{&f.keyEnv, "VARIABLE"}, "key-env", "environment variable with the key")
	flags.Var(text{&f.ivFile, "FILE"}, "iv-file", "file with the initial counter block, 32 hex digits")
	flags.Var(text{&f.ivEnv, "VARIABLE"}, "iv-env", "environment variable with the initial counter block")
	flags.BoolVar(&f.zeroKey, "zero-key", false, "the key is all zero, as the original's (and so is the IV, if none is given)")
	flags.VarP(text{&f.out, "FILE"}, "out", "o", "write here; the file must not exist (default the standard output)")
	completeFlag(cmd, "out", "json")
	return cmd
}

func rulesImport(ctx context.Context, s streams, path string, f importFlags) error {
	key, err := f.secret("key", f.keyFile, f.keyEnv)
	if err != nil {
		return err
	}
	iv, err := f.secret("iv", f.ivFile, f.ivEnv)
	if err != nil {
		return err
	}
	data, err := reader{streams: s}.read(ctx, path)
	if err != nil {
		return err
	}
	plain, err := rules.Import(data, key, iv, f.zeroKey)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	set, err := rules.Parse(plain)
	if err != nil {
		return fmt.Errorf("%s: under this key and IV it is not a rule file: %w", path, err)
	}
	if f.out == "" {
		if _, err := s.out.Write(plain); err != nil {
			return err
		}
	} else if err := createNew(f.out, plain); err != nil {
		return err
	}
	notes := s.notes()
	notes.Check(report.Pass, "imported", or(f.out, "to the standard output"), digestOf(set))
	notes.Check(report.Warn, "integrity", "the encrypted form has none: read the rules before you deploy them")
	return notes.Err()
}

// secret reads 16 bytes in hex. Messages never quote them.
func (f *importFlags) secret(what, file, env string) ([]byte, error) {
	text, err := fileOrEnv(what, file, env)
	if err != nil {
		return nil, err
	}
	if text == nil {
		if f.zeroKey {
			return make([]byte, 16), nil
		}
		return nil, usagef(fmt.Sprintf("give --%s-file FILE or --%s-env NAME; the original's published zero key is --zero-key", what, what),
			"the %s is missing", what)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(b) != 16 {
		return nil, usagef("", "--%s-%s: got something else than 32 hex digits", what, map[bool]string{true: "file", false: "env"}[file != ""])
	}
	return b, nil
}
