package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/yaml"
)

type reading struct {
	File          json.RawMessage `json:"file"`
	Kustomization json.RawMessage `json:"kustomization"`
}

func readAll() error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var text string
		if err := json.Unmarshal(in.Bytes(), &text); err != nil {
			return err
		}
		one := reading{said(readFile(text)), said(readKustomization(text))}
		if err := out.Encode(one); err != nil {
			return err
		}
	}
	return in.Err()
}

func said(read []byte, err error) json.RawMessage {
	if err == nil {
		return read
	}
	text, _ := json.Marshal(map[string]string{"error": err.Error()})
	return text
}

func readFile(text string) (read []byte, err error) {
	defer recovered(&err)
	return yaml.YAMLToJSON([]byte(text))
}

// What kustomize has read it writes as YAML, which kubectl reads as a file.
func readKustomization(text string) (read []byte, err error) {
	defer recovered(&err)
	reader := kio.ByteReader{Reader: strings.NewReader(text), OmitReaderAnnotations: true}
	nodes, err := reader.Read()
	if err != nil {
		return nil, err
	}
	if len(nodes) != 1 {
		return nil, fmt.Errorf("%d objects", len(nodes))
	}
	if read, err = nodes[0].MarshalJSON(); err != nil {
		return nil, err
	}
	if read, err = yaml.JSONToYAML(read); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(read)
}

func recovered(err *error) {
	if why := recover(); why != nil {
		*err = fmt.Errorf("panic: %v", why)
	}
}
