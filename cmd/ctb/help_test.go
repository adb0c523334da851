package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// TestHelp holds the help of every command to what a reader needs: it fits a
// terminal, says what the command is for, and shows it at work.
func TestHelp(t *testing.T) {
	for _, cmd := range commands(newRoot(streams{})) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), append(strings.Fields(cmd.CommandPath())[1:], "--help"), nil, &out, &out); code != exitOK {
				t.Fatalf("got exit code %d: %s", code, &out)
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > report.Width {
					t.Errorf("got %d columns, want at most %d: %s", n, report.Width, line)
				}
			}
			if cmd.Short == "" || cmd.Long == "" {
				t.Error("want a short and a long description")
			}
			if f := cmd.Flags().Lookup("json"); f != nil && f.Usage == "write JSON" && !strings.Contains(cmd.Long, "--json writes") {
				t.Error("want the names that --json writes")
			}
			if cmd.Runnable() && !cmd.HasSubCommands() && cmd.Example == "" {
				t.Error("want an example")
			}
		})
	}
}

// commands are ours: cobra's help and completion are its own affair.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.Name() != "help" && c.Name() != "completion" {
			all = append(all, commands(c)...)
		}
	}
	return all
}
