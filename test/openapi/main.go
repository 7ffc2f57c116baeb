// Command openapi checks an OpenAPI document against the specification, with
// code that has nothing to do with what has made it. It is a module of its own,
// since nothing else needs that code:
//
//	go -C test/openapi run . FILE
package main

import (
	"fmt"
	"os"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapi FILE")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check returns what is wrong with the document in the file.
func check(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err := libopenapi.NewDocument(b)
	if err != nil {
		return fmt.Errorf("%s is no OpenAPI document: %w", path, err)
	}
	// Building the model follows every reference.
	if _, err := doc.BuildV3Model(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return fmt.Errorf("%s: %v", path, errs)
	}
	if ok, wrong := v.ValidateDocument(); !ok {
		text := path + " is not valid:"
		for _, e := range wrong {
			text += fmt.Sprintf("\n%s: %s", e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				text += fmt.Sprintf("\n  %s: %s", s.FieldPath, s.Reason)
			}
		}
		return fmt.Errorf("%s", text)
	}
	fmt.Printf("%s is valid OpenAPI %s\n", path, doc.GetVersion())
	return nil
}
