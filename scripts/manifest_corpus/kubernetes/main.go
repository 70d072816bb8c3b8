// Decides on manifests as kubectl and the API server of Kubernetes do: each line of the input is a
// text as JSON, each line of the output what is wrong with it, as JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/discovery"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	discoveryvalidation "k8s.io/kubernetes/pkg/apis/discovery/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	netutils "k8s.io/utils/net"
)

// Fault is what is wrong with a resource: Field is empty for what cannot be decoded.
type Fault struct {
	Field  string `json:"field,omitempty"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// Verdict is on one text; Objects are the resources as they were read, defaults included.
type Verdict struct {
	Faults  []Fault           `json:"faults"`
	Objects []json.RawMessage `json:"objects,omitempty"`
}

var strict = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	lines := json.NewDecoder(input)
	answers := json.NewEncoder(output)
	for {
		var text string
		if err := lines.Decode(&text); err == io.EOF {
			return
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		verdict := judge(text)
		if verdict.Faults == nil {
			verdict.Faults = []Fault{}
		}
		if err := answers.Encode(verdict); err != nil {
			os.Exit(1)
		}
	}
}

// judge reads the text as kubectl does: documents become JSON, lists their items.
func judge(text string) (verdict Verdict) {
	defer func() {
		if cause := recover(); cause != nil {
			verdict.Faults = append(verdict.Faults, Fault{Type: "Panic", Detail: fmt.Sprint(cause)})
		}
	}()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			verdict.Faults = append(verdict.Faults, Fault{Type: "Parse", Detail: err.Error()})
			return
		}
		raw.Raw = bytes.TrimSpace(raw.Raw)
		if len(raw.Raw) == 0 || bytes.Equal(raw.Raw, []byte("null")) {
			continue
		}
		judgeItem(raw.Raw, &verdict)
	}
}

func judgeItem(raw []byte, verdict *Verdict) {
	fail := func(err error) {
		verdict.Faults = append(verdict.Faults, Fault{Type: "Decode", Detail: err.Error()})
	}
	if list, err := runtime.Decode(unstructured.UnstructuredJSONScheme, raw); err != nil {
		fail(err)
		return
	} else if list, ok := list.(*unstructured.UnstructuredList); ok {
		for _, item := range list.Items {
			text, err := json.Marshal(&item)
			if err != nil {
				fail(err)
				return
			}
			judgeItem(text, verdict)
		}
		return
	}
	object, kind, err := strict.Decode(raw, nil, nil)
	if err != nil {
		fail(err)
		return
	}
	legacyscheme.Scheme.Default(object)
	internal, err := legacyscheme.Scheme.ConvertToVersion(object, runtime.InternalGroupVersioner)
	if err != nil {
		fail(err)
		return
	}
	for _, err := range validate(internal) {
		verdict.Faults = append(verdict.Faults, Fault{Field: err.Field, Type: string(err.Type), Detail: err.ErrorBody()})
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	if text, err := json.Marshal(object); err == nil {
		verdict.Objects = append(verdict.Objects, text)
	}
}

func validate(object runtime.Object) field.ErrorList {
	if accessor, ok := object.(metav1.Object); ok && accessor.GetNamespace() == "" {
		switch object.(type) {
		case *api.Namespace, *api.Node:
		default:
			accessor.SetNamespace("default")
		}
	}
	switch resource := object.(type) {
	case *api.Namespace:
		return corevalidation.ValidateNamespace(resource)
	case *api.Node:
		return corevalidation.ValidateNode(resource)
	case *api.Pod:
		options := podutil.GetValidationOptionsFromPodSpecAndMeta(&resource.Spec, nil, &resource.ObjectMeta, nil)
		return corevalidation.ValidatePodCreate(resource, options)
	case *api.Service:
		allocate(resource)
		return append(corevalidation.ValidateServiceCreate(resource), validateStatus(resource)...)
	case *discovery.EndpointSlice:
		return discoveryvalidation.ValidateEndpointSliceCreate(resource)
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(resource, networkingvalidation.NetworkPolicyValidationOptions{})
	}
	return field.ErrorList{field.NotSupported(field.NewPath("kind"), fmt.Sprintf("%T", object), []string{})}
}

// allocate fills in what the API server gives a service before it validates it.
func allocate(service *api.Service) {
	spec := &service.Spec
	if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	if spec.Type == api.ServiceTypeExternalName {
		return
	}
	if spec.ClusterIP == "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIP = "10.96.0.99"
		if len(spec.IPFamilies) > 0 && spec.IPFamilies[0] == api.IPv6Protocol {
			spec.ClusterIP = "fd00::99"
		}
	}
	if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	if len(spec.IPFamilies) == 0 {
		for _, ip := range spec.ClusterIPs {
			if netutils.IsIPv6String(ip) {
				spec.IPFamilies = append(spec.IPFamilies, api.IPv6Protocol)
			} else {
				spec.IPFamilies = append(spec.IPFamilies, api.IPv4Protocol)
			}
		}
	}
	if spec.Type == api.ServiceTypeLoadBalancer && spec.HealthCheckNodePort == 0 &&
		spec.ExternalTrafficPolicy == api.ServiceExternalTrafficPolicyLocal {
		spec.HealthCheckNodePort = 31999
	}
	if spec.IPFamilyPolicy == nil {
		policy := api.IPFamilyPolicySingleStack
		if len(spec.ClusterIPs) > 1 {
			policy = api.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
}

// validateStatus is what the API server says of a status that a controller writes.
func validateStatus(service *api.Service) field.ErrorList {
	path := field.NewPath("status", "loadBalancer")
	return corevalidation.ValidateLoadBalancerStatus(&service.Status.LoadBalancer, nil, path, &service.Spec)
}
