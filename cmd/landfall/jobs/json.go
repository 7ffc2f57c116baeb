package jobs

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"landfall.dev/capability/job/definition/yaml11"
)

// write writes r as JSON with a job in each line: of a large tree that is a
// hundred megabytes, which encoding/json would read three times.
func (r Result) write(w io.Writer) error {
	made := r.Jobs
	r.Jobs = nil
	head, err := json.Marshal(r)
	if err != nil {
		return err
	}
	const none = "null}" // in the place of the jobs
	out := bufio.NewWriterSize(w, 1<<20)
	_, _ = out.Write(head[:len(head)-len(none)]) // what fails, Flush says
	var e encoder
	line := []byte("[\n")
	for i, j := range made {
		if i > 0 {
			line = append(line, ",\n"...)
		}
		line = e.job(line, j)
		_, _ = out.Write(line)
		line = line[:0]
	}
	_, _ = out.Write(append(line, "\n]}\n"...))
	return out.Flush()
}

// encoder appends JSON.
type encoder struct{ values yaml11.Encoder }

func (e *encoder) job(b []byte, j Job) []byte {
	b = yaml11.AppendText(append(b, `{"name":`...), j.Name)
	if j.Description != "" {
		b = yaml11.AppendText(append(b, `,"description":`...), j.Description)
	}
	b = append(b, `,"components":{`...)
	for i, kind := range slices.Sorted(maps.Keys(j.Components)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(yaml11.AppendText(b, kind), ':')
		b = e.components(b, j.Components[kind])
	}
	b = append(b, '}')
	if j.Error != "" {
		b = yaml11.AppendText(append(b, `,"error":`...), j.Error)
	}
	return append(b, '}')
}

func (e *encoder) components(b []byte, list []Component) []byte {
	b = append(b, '[')
	for i, c := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if c.Kind != "" {
			b = append(yaml11.AppendText(append(b, `"kind":`...), c.Kind), ',')
		}
		b = yaml11.AppendText(append(b, `"type":`...), c.Type)
		b = append(b, `,"args":`...)
		if c.Args == nil {
			b = append(b, "null"...)
		} else {
			b = e.values.Append(b, c.Args)
		}
		if len(c.Children) > 0 {
			b = e.components(append(b, `,"children":`...), c.Children)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}
