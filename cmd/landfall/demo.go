package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/demo"
	"landfall.dev/cmd/landfall/engines"
)

func demoCommand() *cobra.Command {
	var config demo.Config
	var e engines.One
	c := command("demo", "Play a patch's way to a live upgrade on this machine", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		config.Landfall = self
		if config.Ledger == "" {
			config.Ledger = filepath.Join(filepath.Dir(self), "ledger")
		}
		if _, err := os.Stat(config.Ledger); err != nil {
			return errors.New("the demo needs the binary of its platform: run it by make demo, or name it by --ledger")
		}
		scratch, err := os.MkdirTemp("", "landfall-probe-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		probe, err := e.Open(c.Context(), scratch, "demo")
		if err != nil {
			return err
		}
		config.Engine = probe.Name()
		if config.Engine == "process" {
			fmt.Fprintln(c.OutOrStdout(), "builds and platforms run as processes of this machine, without isolation")
		}
		return demo.Play(c.Context(), config, c.OutOrStdout())
	})
	f := c.Flags()
	f.StringVar(&config.Source, "source", ".", "the checkout of Landfall, which the demo's platform is built with")
	f.StringVar(&config.Ledger, "ledger", "", "the platform's binary (default: beside this one)")
	f.StringVar(&config.Dir, "dir", "", "directory for everything (default: a temporary one)")
	f.IntVar(&config.Documents, "documents", 200_000, "documents in the platform")
	f.IntVar(&config.Rate, "rate", 500, "requests a second")
	f.BoolVar(&config.Keep, "keep", false, "leave it all running at the end, until interrupted")
	e.Flags(c)
	return c
}
