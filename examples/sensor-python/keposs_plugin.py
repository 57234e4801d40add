"""Serve a keposs plugin from Python: docs/plugin-protocol.md in one file.

Written by `keposs plugin new`; leave it as it is and copy a newer one over it.
It needs Debian's python3-grpcio, python3-protobuf and python3-cryptography.
Secrets go unsealed, so a Python plugin is never approved (rule C2).

A sensor is one function, sample(prompt, settings) -> bytes. A source is two
generators, enroll(request) and collect(request), which yield prompts and get
the samples back. A key derivation is one function. keposs_store.py serves a
storage backend. Raise Error(code, text) for what goes wrong; CODES has the
names.
"""
import base64
import datetime
import os
import resource
import sys
import threading
import time
from concurrent import futures

COOKIE = ("KEPOSS_PLUGIN_COOKIE", "6b65706f73732d706c7567696e2d3031")
if os.environ.get(COOKIE[0]) != COOKIE[1]:
    sys.exit("this is a plugin of keposs; it is started by keposs, not by hand")

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

CODES = {n: i + 1 for i, n in enumerate(
    "invalid unsupported too-large not-found conflict exhausted throttled unavailable indeterminate corrupt fenced "
    "closed auth locked policy state environment integrity refused capture-refused canceled timeout usage internal".split())}
_STATUS = {"invalid": 3, "unsupported": 12, "too-large": 11, "not-found": 5, "canceled": 1, "timeout": 4, "state": 9, "unavailable": 14}
_MAX = 4 << 20  # bytes of a message, rule M1
_DESCRIPTORS = """
ChxrZXBvc3MvcGx1Z2luL3YxL3R5cGVzLnByb3RvEhBrZXBvc3MucGx1Z2luLnYxInIKBUVycm9yEhIKBGNvZGUYASABKA1SBGNvZGUSDgoCb3AYAiABKAlSAm9wEhAKA21zZxgDIAEoCVIDbXNnEhgKB2N1cnJlbnQYBCABKARSB2N1cnJlbnQSGQoIYWZ0ZXJfbnMYBSABKANSB2FmdGVyTnMiQgoGU2VjcmV0EhYKBXBsYWluGAEgASgMSABSBXBsYWluEhgKBnNlYWxlZBgCIAEoDEgAUgZzZWFsZWRCBgoEZm9ybSJjCgtDb25maWdGaWVsZBISCgRuYW1lGAEgASgJUgRuYW1lEhIKBHR5cGUYAiABKAlSBHR5cGUSGAoHZGVmYXVsdBgDIAEoCVIHZGVmYXVsdBISCgRoZWxwGAQgASgJUgRoZWxwIpgCCgZDb25maWcSPAoGdmFsdWVzGAEgAygLMiQua2Vwb3NzLnBsdWdpbi52MS5Db25maWcuVmFsdWVzRW50cnlSBnZhbHVlcxI/CgdzZWNyZXRzGAIgAygLMiUua2Vwb3NzLnBsdWdpbi52MS5Db25maWcuU2VjcmV0c0VudHJ5UgdzZWNyZXRzGjkKC1ZhbHVlc0VudHJ5EhAKA2tleRgBIAEoCVIDa2V5EhQKBXZhbHVlGAIgASgJUgV2YWx1ZToCOAEaVAoMU2VjcmV0c0VudHJ5EhAKA2tleRgBIAEoCVIDa2V5Ei4KBXZhbHVlGAIgASgLMhgua2Vwb3NzLnBsdWdpbi52MS5TZWNyZXRSBXZhbHVlOgI4ASIHCgVFbXB0eSKJAgoGUHJvbXB0EhQKBWtpbmRzGAEgAygJUgVraW5kcxIUCgVsYWJlbBgCIAEoCVIFbGFiZWwSMwoHcHVycG9zZRgDIAEoDjIZLmtlcG9zcy5wbHVnaW4udjEuUHVycG9zZVIHcHVycG9zZRIUCgVpbmRleBgEIAEoBVIFaW5kZXgSFAoFdG90YWwYBSABKAVSBXRvdGFsEhIKBHRleHQYBiABKAlSBHRleHQSGAoHcmVmdXNhbBgHIAEoCVIHcmVmdXNhbBISCgRncmlkGAggASgFUgRncmlkEhcKB21pbl9sZW4YCSABKAVSBm1pbkxlbhIXCgdtYXhfbGVuGAogASgFUgZtYXhMZW4iYAoGU2FtcGxlEhIKBGtpbmQYASABKAlSBGtpbmQSFAoFbW9kZWwYAiABKAlSBW1vZGVsEiwKBGRhdGEYAyABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlNlY3JldFIEZGF0YSpgCgdQdXJwb3NlEhcKE1BVUlBPU0VfVU5TUEVDSUZJRUQQABISCg5QVVJQT1NFX0VOUk9MTBABEhMKD1BVUlBPU0VfQ09ORklSTRACEhMKD1BVUlBPU0VfUkVDT1ZFUhADQjBaLmdpdGh1Yi5jb20va2Vwb3NzL2tlcG9zcy9wbHVnaW5zL2ludGVybmFsL3dpcmViBnByb3RvMw==
Ch5rZXBvc3MvcGx1Z2luL3YxL2NvbnRyb2wucHJvdG8SEGtlcG9zcy5wbHVnaW4udjEiEQoPRGVzY3JpYmVSZXF1ZXN0Ik4KClBsdWdpbkluZm8SEgoEa2luZBgBIAEoCVIEa2luZBISCgRuYW1lGAIgASgJUgRuYW1lEhgKB3ZlcnNpb24YAyABKAlSB3ZlcnNpb24iFQoTS2V5QWdyZWVtZW50UmVxdWVzdCI1ChRLZXlBZ3JlZW1lbnRSZXNwb25zZRIdCgpwdWJsaWNfa2V5GAEgASgMUglwdWJsaWNLZXkiMgoQRXN0YWJsaXNoUmVxdWVzdBIeCgpjaXBoZXJ0ZXh0GAEgASgMUgpjaXBoZXJ0ZXh0Ii0KEUVzdGFibGlzaFJlc3BvbnNlEhgKB2NvbmZpcm0YASABKAxSB2NvbmZpcm0yiwIKB0NvbnRyb2wSSwoIRGVzY3JpYmUSIS5rZXBvc3MucGx1Z2luLnYxLkRlc2NyaWJlUmVxdWVzdBocLmtlcG9zcy5wbHVnaW4udjEuUGx1Z2luSW5mbxJdCgxLZXlBZ3JlZW1lbnQSJS5rZXBvc3MucGx1Z2luLnYxLktleUFncmVlbWVudFJlcXVlc3QaJi5rZXBvc3MucGx1Z2luLnYxLktleUFncmVlbWVudFJlc3BvbnNlElQKCUVzdGFibGlzaBIiLmtlcG9zcy5wbHVnaW4udjEuRXN0YWJsaXNoUmVxdWVzdBojLmtlcG9zcy5wbHVnaW4udjEuRXN0YWJsaXNoUmVzcG9uc2VCMFouZ2l0aHViLmNvbS9rZXBvc3Mva2Vwb3NzL3BsdWdpbnMvaW50ZXJuYWwvd2lyZWIGcHJvdG8z
Ch1rZXBvc3MvcGx1Z2luL3YxL3NlbnNvci5wcm90bxIQa2Vwb3NzLnBsdWdpbi52MRoca2Vwb3NzL3BsdWdpbi92MS90eXBlcy5wcm90byK+AQoKU2Vuc29ySW5mbxISCgRuYW1lGAEgASgJUgRuYW1lEhgKB3ZlcnNpb24YAiABKAlSB3ZlcnNpb24SGAoHc2FtcGxlcxgDIAMoCVIHc2FtcGxlcxIUCgVtb2RlbBgEIAEoCVIFbW9kZWwSGwoJcGFkX2xldmVsGAUgASgNUghwYWRMZXZlbBI1CgZzY2hlbWEYBiADKAsyHS5rZXBvc3MucGx1Z2luLnYxLkNvbmZpZ0ZpZWxkUgZzY2hlbWEyyQEKBlNlbnNvchJBCghEZXNjcmliZRIXLmtlcG9zcy5wbHVnaW4udjEuRW1wdHkaHC5rZXBvc3MucGx1Z2luLnYxLlNlbnNvckluZm8SPgoJQ29uZmlndXJlEhgua2Vwb3NzLnBsdWdpbi52MS5Db25maWcaFy5rZXBvc3MucGx1Z2luLnYxLkVtcHR5EjwKBlNhbXBsZRIYLmtlcG9zcy5wbHVnaW4udjEuUHJvbXB0Ghgua2Vwb3NzLnBsdWdpbi52MS5TYW1wbGVCMFouZ2l0aHViLmNvbS9rZXBvc3Mva2Vwb3NzL3BsdWdpbnMvaW50ZXJuYWwvd2lyZWIGcHJvdG8z
Ch1rZXBvc3MvcGx1Z2luL3YxL3NvdXJjZS5wcm90bxIQa2Vwb3NzLnBsdWdpbi52MRoca2Vwb3NzL3BsdWdpbi92MS90eXBlcy5wcm90byIrCgVSYW5nZRIQCgNtaW4YASABKAVSA21pbhIQCgNtYXgYAiABKAVSA21heCJ4CghTdHJlbmd0aBIXCgdwZXJfdHJ5GAEgASgNUgZwZXJUcnkSHQoKYmVzdF9ndWVzcxgCIAEoDVIJYmVzdEd1ZXNzEhgKB29mZmxpbmUYAyABKA1SB29mZmxpbmUSGgoIZXZpZGVuY2UYBCABKAlSCGV2aWRlbmNlIsoECgpTb3VyY2VJbmZvEhIKBG5hbWUYASABKAlSBG5hbWUSGAoHdmVyc2lvbhgCIAEoCVIHdmVyc2lvbhIwCgRraW5kGAMgASgOMhwua2Vwb3NzLnBsdWdpbi52MS5GYWN0b3JLaW5kUgRraW5kEhYKBmZvcm1hdBgEIAEoDVIGZm9ybWF0EhgKB2Zvcm1hdHMYBSADKA1SB2Zvcm1hdHMSGAoHc2FtcGxlcxgGIAMoCVIHc2FtcGxlcxJACg9lbnJvbGxfY2FwdHVyZXMYByABKAsyFy5rZXBvc3MucGx1Z2luLnYxLlJhbmdlUg5lbnJvbGxDYXB0dXJlcxJCChByZWNvdmVyX2NhcHR1cmVzGAggASgLMhcua2Vwb3NzLnBsdWdpbi52MS5SYW5nZVIPcmVjb3ZlckNhcHR1cmVzEjYKCHN0cmVuZ3RoGAkgASgLMhoua2Vwb3NzLnBsdWdpbi52MS5TdHJlbmd0aFIIc3RyZW5ndGgSHwoLaGVscGVyX3NpemUYCiABKAVSCmhlbHBlclNpemUSJgoPcmVjb3Zlcl90aW1lX25zGAsgASgDUg1yZWNvdmVyVGltZU5zEhsKCXBhZF9sZXZlbBgMIAEoDVIIcGFkTGV2ZWwSNQoGc2NoZW1hGA0gAygLMh0ua2Vwb3NzLnBsdWdpbi52MS5Db25maWdGaWVsZFIGc2NoZW1hEjUKBnBhcmFtcxgOIAMoCzIdLmtlcG9zcy5wbHVnaW4udjEuQ29uZmlnRmllbGRSBnBhcmFtcyLuAQoLRW5yb2xsU3RhcnQSFAoFbGFiZWwYASABKAlSBWxhYmVsEhYKBmZvcm1hdBgCIAEoDVIGZm9ybWF0EjMKCGJpbmRfa2V5GAMgASgLMhgua2Vwb3NzLnBsdWdpbi52MS5TZWNyZXRSB2JpbmRLZXkSQQoGcGFyYW1zGAQgAygLMikua2Vwb3NzLnBsdWdpbi52MS5FbnJvbGxTdGFydC5QYXJhbXNFbnRyeVIGcGFyYW1zGjkKC1BhcmFtc0VudHJ5EhAKA2tleRgBIAEoCVIDa2V5EhQKBXZhbHVlGAIgASgJUgV2YWx1ZToCOAEiuAEKDUVucm9sbFJlcXVlc3QSNQoFc3RhcnQYASABKAsyHS5rZXBvc3MucGx1Z2luLnYxLkVucm9sbFN0YXJ0SABSBXN0YXJ0EjIKBnNhbXBsZRgCIAEoCzIYLmtlcG9zcy5wbHVnaW4udjEuU2FtcGxlSABSBnNhbXBsZRIzCgdyZWZ1c2VkGAMgASgLMhcua2Vwb3NzLnBsdWdpbi52MS5FcnJvckgAUgdyZWZ1c2VkQgcKBWZyYW1lItIBCgpFbnJvbGxtZW50EjAKBnNlY3JldBgBIAEoCzIYLmtlcG9zcy5wbHVnaW4udjEuU2VjcmV0UgZzZWNyZXQSFgoGaGVscGVyGAIgASgMUgZoZWxwZXISFgoGZm9ybWF0GAMgASgNUgZmb3JtYXQSNgoIc3RyZW5ndGgYBCABKAsyGi5rZXBvc3MucGx1Z2luLnYxLlN0cmVuZ3RoUghzdHJlbmd0aBIUCgVzY29yZRgFIAEoBVIFc2NvcmUSFAoFbm90ZXMYBiADKAlSBW5vdGVzIrIBCg5FbnJvbGxSZXNwb25zZRIyCgZwcm9tcHQYASABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlByb21wdEgAUgZwcm9tcHQSMgoEZG9uZRgCIAEoCzIcLmtlcG9zcy5wbHVnaW4udjEuRW5yb2xsbWVudEgAUgRkb25lEi8KBWVycm9yGAMgASgLMhcua2Vwb3NzLnBsdWdpbi52MS5FcnJvckgAUgVlcnJvckIHCgVmcmFtZSJUCgxDb2xsZWN0U3RhcnQSFAoFbGFiZWwYASABKAlSBWxhYmVsEhYKBmZvcm1hdBgCIAEoDVIGZm9ybWF0EhYKBnBhcmFtcxgDIAEoDFIGcGFyYW1zIlYKB1JlY292ZXISFgoGaGVscGVyGAEgASgMUgZoZWxwZXISMwoIYmluZF9rZXkYAiABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlNlY3JldFIHYmluZEtleSLxAQoOQ29sbGVjdFJlcXVlc3QSNgoFc3RhcnQYASABKAsyHi5rZXBvc3MucGx1Z2luLnYxLkNvbGxlY3RTdGFydEgAUgVzdGFydBIyCgZzYW1wbGUYAiABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlNhbXBsZUgAUgZzYW1wbGUSMwoHcmVmdXNlZBgDIAEoCzIXLmtlcG9zcy5wbHVnaW4udjEuRXJyb3JIAFIHcmVmdXNlZBI1CgdyZWNvdmVyGAQgASgLMhkua2Vwb3NzLnBsdWdpbi52MS5SZWNvdmVySABSB3JlY292ZXJCBwoFZnJhbWUiCgoIQ2FwdHVyZWQi7QEKD0NvbGxlY3RSZXNwb25zZRIyCgZwcm9tcHQYASABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlByb21wdEgAUgZwcm9tcHQSOAoIY2FwdHVyZWQYAiABKAsyGi5rZXBvc3MucGx1Z2luLnYxLkNhcHR1cmVkSABSCGNhcHR1cmVkEjIKBnNlY3JldBgDIAEoCzIYLmtlcG9zcy5wbHVnaW4udjEuU2VjcmV0SABSBnNlY3JldBIvCgVlcnJvchgEIAEoCzIXLmtlcG9zcy5wbHVnaW4udjEuRXJyb3JIAFIFZXJyb3JCBwoFZnJhbWUqewoKRmFjdG9yS2luZBIbChdGQUNUT1JfS0lORF9VTlNQRUNJRklFRBAAEhkKFUZBQ1RPUl9LSU5EX0tOT1dMRURHRRABEhoKFkZBQ1RPUl9LSU5EX1BPU1NFU1NJT04QAhIZChVGQUNUT1JfS0lORF9CSU9NRVRSSUMQAzKwAgoGU291cmNlEkEKCERlc2NyaWJlEhcua2Vwb3NzLnBsdWdpbi52MS5FbXB0eRocLmtlcG9zcy5wbHVnaW4udjEuU291cmNlSW5mbxI+CglDb25maWd1cmUSGC5rZXBvc3MucGx1Z2luLnYxLkNvbmZpZxoXLmtlcG9zcy5wbHVnaW4udjEuRW1wdHkSTwoGRW5yb2xsEh8ua2Vwb3NzLnBsdWdpbi52MS5FbnJvbGxSZXF1ZXN0GiAua2Vwb3NzLnBsdWdpbi52MS5FbnJvbGxSZXNwb25zZSgBMAESUgoHQ29sbGVjdBIgLmtlcG9zcy5wbHVnaW4udjEuQ29sbGVjdFJlcXVlc3QaIS5rZXBvc3MucGx1Z2luLnYxLkNvbGxlY3RSZXNwb25zZSgBMAFCMFouZ2l0aHViLmNvbS9rZXBvc3Mva2Vwb3NzL3BsdWdpbnMvaW50ZXJuYWwvd2lyZWIGcHJvdG8z
ChprZXBvc3MvcGx1Z2luL3YxL2tkZi5wcm90bxIQa2Vwb3NzLnBsdWdpbi52MRoca2Vwb3NzL3BsdWdpbi92MS90eXBlcy5wcm90byJVCglQYXJhbUluZm8SEAoDa2V5GAEgASgJUgNrZXkSEAoDbWluGAIgASgEUgNtaW4SEAoDbWF4GAMgASgEUgNtYXgSEgoEaGVscBgEIAEoCVIEaGVscCInCgVQYXJhbRIQCgNrZXkYASABKAlSA2tleRIMCgFuGAIgASgEUgFuIk0KBlBhcmFtcxISCgRuYW1lGAEgASgJUgRuYW1lEi8KBnZhbHVlcxgCIAMoCzIXLmtlcG9zcy5wbHVnaW4udjEuUGFyYW1SBnZhbHVlcyKZAgoGTGltaXRzEjkKBWZsb29yGAEgAygLMiMua2Vwb3NzLnBsdWdpbi52MS5MaW1pdHMuRmxvb3JFbnRyeVIFZmxvb3ISPwoHY2VpbGluZxgCIAMoCzIlLmtlcG9zcy5wbHVnaW4udjEuTGltaXRzLkNlaWxpbmdFbnRyeVIHY2VpbGluZxIdCgptYXhfbWVtb3J5GAMgASgEUgltYXhNZW1vcnkaOAoKRmxvb3JFbnRyeRIQCgNrZXkYASABKAlSA2tleRIUCgV2YWx1ZRgCIAEoBFIFdmFsdWU6AjgBGjoKDENlaWxpbmdFbnRyeRIQCgNrZXkYASABKAlSA2tleRIUCgV2YWx1ZRgCIAEoBFIFdmFsdWU6AjgBIrwBCgdLREZJbmZvEhIKBG5hbWUYASABKAlSBG5hbWUSGAoHdmVyc2lvbhgCIAEoCVIHdmVyc2lvbhIaCghhcHByb3ZlZBgDIAEoCFIIYXBwcm92ZWQSMwoGcGFyYW1zGAQgAygLMhsua2Vwb3NzLnBsdWdpbi52MS5QYXJhbUluZm9SBnBhcmFtcxIyCgdkZWZhdWx0GAUgASgLMhgua2Vwb3NzLnBsdWdpbi52MS5QYXJhbXNSB2RlZmF1bHQidQoPVmFsaWRhdGVSZXF1ZXN0EjAKBnBhcmFtcxgBIAEoCzIYLmtlcG9zcy5wbHVnaW4udjEuUGFyYW1zUgZwYXJhbXMSMAoGbGltaXRzGAIgASgLMhgua2Vwb3NzLnBsdWdpbi52MS5MaW1pdHNSBmxpbWl0cyJhChBDYWxpYnJhdGVSZXF1ZXN0EhsKCXRhcmdldF9ucxgBIAEoA1IIdGFyZ2V0TnMSMAoGbGltaXRzGAIgASgLMhgua2Vwb3NzLnBsdWdpbi52MS5MaW1pdHNSBmxpbWl0cyJFChFDYWxpYnJhdGVSZXNwb25zZRIwCgZwYXJhbXMYASABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlBhcmFtc1IGcGFyYW1zIp8BCg1EZXJpdmVSZXF1ZXN0EjAKBnBhcmFtcxgBIAEoCzIYLmtlcG9zcy5wbHVnaW4udjEuUGFyYW1zUgZwYXJhbXMSMAoGc2VjcmV0GAIgASgLMhgua2Vwb3NzLnBsdWdpbi52MS5TZWNyZXRSBnNlY3JldBISCgRzYWx0GAMgASgMUgRzYWx0EhYKBmxlbmd0aBgEIAEoDVIGbGVuZ3RoIjwKDkRlcml2ZVJlc3BvbnNlEioKA291dBgBIAEoCzIYLmtlcG9zcy5wbHVnaW4udjEuU2VjcmV0UgNvdXQysAIKA0tERhI+CghEZXNjcmliZRIXLmtlcG9zcy5wbHVnaW4udjEuRW1wdHkaGS5rZXBvc3MucGx1Z2luLnYxLktERkluZm8SRgoIVmFsaWRhdGUSIS5rZXBvc3MucGx1Z2luLnYxLlZhbGlkYXRlUmVxdWVzdBoXLmtlcG9zcy5wbHVnaW4udjEuRW1wdHkSVAoJQ2FsaWJyYXRlEiIua2Vwb3NzLnBsdWdpbi52MS5DYWxpYnJhdGVSZXF1ZXN0GiMua2Vwb3NzLnBsdWdpbi52MS5DYWxpYnJhdGVSZXNwb25zZRJLCgZEZXJpdmUSHy5rZXBvc3MucGx1Z2luLnYxLkRlcml2ZVJlcXVlc3QaIC5rZXBvc3MucGx1Z2luLnYxLkRlcml2ZVJlc3BvbnNlQjBaLmdpdGh1Yi5jb20va2Vwb3NzL2tlcG9zcy9wbHVnaW5zL2ludGVybmFsL3dpcmViBnByb3RvMw==
Ch5rZXBvc3MvcGx1Z2luL3YxL2JhY2tlbmQucHJvdG8SEGtlcG9zcy5wbHVnaW4udjEaHGtlcG9zcy9wbHVnaW4vdjEvdHlwZXMucHJvdG8i7gEKC0JhY2tlbmRJbmZvEhIKBG5hbWUYASABKAlSBG5hbWUSGAoHdmVyc2lvbhgCIAEoCVIHdmVyc2lvbhIeCgpyZXBsaWNhdGVkGAMgASgIUgpyZXBsaWNhdGVkEjUKBnNjaGVtYRgEIAMoCzIdLmtlcG9zcy5wbHVnaW4udjEuQ29uZmlnRmllbGRSBnNjaGVtYRIWCgZoZWFsdGgYBSABKAhSBmhlYWx0aBIWCgZleHBvcnQYBiABKAhSBmV4cG9ydBIUCgV3YXRjaBgHIAEoCFIFd2F0Y2gSFAoFZmVuY2UYCCABKAhSBWZlbmNlIowBCgZSZWNvcmQSEAoDa2V5GAEgASgMUgNrZXkSGAoHdmVyc2lvbhgCIAEoBFIHdmVyc2lvbhIVCgNob3QYAyABKAxIAFIDaG90iAEBEhcKBGJsb2IYBCABKAxIAVIEYmxvYogBARIVCgZyZXFfaWQYBSABKAxSBXJlcUlkQgYKBF9ob3RCBwoFX2Jsb2IiyAEKCE11dGF0aW9uEhAKA2tleRgBIAEoDFIDa2V5EhYKBmV4cGVjdBgCIAEoBFIGZXhwZWN0EiQKAm9wGAMgASgOMhQua2Vwb3NzLnBsdWdpbi52MS5PcFICb3ASFQoDaG90GAQgASgMSABSA2hvdIgBARIXCgRibG9iGAUgASgMSAFSBGJsb2KIAQESFQoGcmVxX2lkGAYgASgMUgVyZXFJZBIUCgVmZW5jZRgHIAEoBFIFZmVuY2VCBgoEX2hvdEIHCgVfYmxvYiJRCgZSZXN1bHQSGAoHdmVyc2lvbhgBIAEoBFIHdmVyc2lvbhItCgVlcnJvchgCIAEoCzIXLmtlcG9zcy5wbHVnaW4udjEuRXJyb3JSBWVycm9yIlUKDkdldE1hbnlSZXF1ZXN0EhIKBGtleXMYASADKAxSBGtleXMSFAoFc3RhbGUYAiABKAhSBXN0YWxlEhkKCGhvdF9vbmx5GAMgASgIUgdob3RPbmx5IkUKD0dldE1hbnlSZXNwb25zZRIyCgdyZWNvcmRzGAEgAygLMhgua2Vwb3NzLnBsdWdpbi52MS5SZWNvcmRSB3JlY29yZHMiTQoRQ29tbWl0TWFueVJlcXVlc3QSOAoJbXV0YXRpb25zGAEgAygLMhoua2Vwb3NzLnBsdWdpbi52MS5NdXRhdGlvblIJbXV0YXRpb25zIkgKEkNvbW1pdE1hbnlSZXNwb25zZRIyCgdyZXN1bHRzGAEgAygLMhgua2Vwb3NzLnBsdWdpbi52MS5SZXN1bHRSB3Jlc3VsdHMidQoLU2NhblJlcXVlc3QSFAoFYWZ0ZXIYASABKAxSBWFmdGVyEhQKBWxpbWl0GAIgASgFUgVsaW1pdBIQCgNob3QYAyABKAhSA2hvdBISCgRibG9iGAQgASgIUgRibG9iEhQKBXRvbWJzGAUgASgIUgV0b21icyJ2CgRQYWdlEjIKB3JlY29yZHMYASADKAsyGC5rZXBvc3MucGx1Z2luLnYxLlJlY29yZFIHcmVjb3JkcxIYCgdkZWxldGVkGAIgAygIUgdkZWxldGVkEhcKBG5leHQYAyABKAxIAFIEbmV4dIgBAUIHCgVfbmV4dCJdCg1JbXBvcnRSZXF1ZXN0EjIKB3JlY29yZHMYASADKAsyGC5rZXBvc3MucGx1Z2luLnYxLlJlY29yZFIHcmVjb3JkcxIYCgdkZWxldGVkGAIgAygIUgdkZWxldGVkIiIKDFdhdGNoUmVxdWVzdBISCgRmcm9tGAEgASgMUgRmcm9tIlQKBkNoYW5nZRIwCgZyZWNvcmQYASABKAsyGC5rZXBvc3MucGx1Z2luLnYxLlJlY29yZFIGcmVjb3JkEhgKB2RlbGV0ZWQYAiABKAhSB2RlbGV0ZWQiKQoRUmFpc2VGZW5jZVJlcXVlc3QSFAoFZmVuY2UYASABKARSBWZlbmNlKkMKAk9wEhIKDk9QX1VOU1BFQ0lGSUVEEAASCgoGT1BfUFVUEAESDgoKT1BfUFVUX0hPVBACEg0KCU9QX0RFTEVURRADMoIGCgdCYWNrZW5kEkIKCERlc2NyaWJlEhcua2Vwb3NzLnBsdWdpbi52MS5FbXB0eRodLmtlcG9zcy5wbHVnaW4udjEuQmFja2VuZEluZm8SPgoJQ29uZmlndXJlEhgua2Vwb3NzLnBsdWdpbi52MS5Db25maWcaFy5rZXBvc3MucGx1Z2luLnYxLkVtcHR5Ek4KB0dldE1hbnkSIC5rZXBvc3MucGx1Z2luLnYxLkdldE1hbnlSZXF1ZXN0GiEua2Vwb3NzLnBsdWdpbi52MS5HZXRNYW55UmVzcG9uc2USVwoKQ29tbWl0TWFueRIjLmtlcG9zcy5wbHVnaW4udjEuQ29tbWl0TWFueVJlcXVlc3QaJC5rZXBvc3MucGx1Z2luLnYxLkNvbW1pdE1hbnlSZXNwb25zZRI9CgRTY2FuEh0ua2Vwb3NzLnBsdWdpbi52MS5TY2FuUmVxdWVzdBoWLmtlcG9zcy5wbHVnaW4udjEuUGFnZRI6CgZIZWFsdGgSFy5rZXBvc3MucGx1Z2luLnYxLkVtcHR5Ghcua2Vwb3NzLnBsdWdpbi52MS5FbXB0eRI/CgZFeHBvcnQSHS5rZXBvc3MucGx1Z2luLnYxLlNjYW5SZXF1ZXN0GhYua2Vwb3NzLnBsdWdpbi52MS5QYWdlEkIKBkltcG9ydBIfLmtlcG9zcy5wbHVnaW4udjEuSW1wb3J0UmVxdWVzdBoXLmtlcG9zcy5wbHVnaW4udjEuRW1wdHkSQwoFV2F0Y2gSHi5rZXBvc3MucGx1Z2luLnYxLldhdGNoUmVxdWVzdBoYLmtlcG9zcy5wbHVnaW4udjEuQ2hhbmdlMAESSgoKUmFpc2VGZW5jZRIjLmtlcG9zcy5wbHVnaW4udjEuUmFpc2VGZW5jZVJlcXVlc3QaFy5rZXBvc3MucGx1Z2luLnYxLkVtcHR5EjkKBUNsb3NlEhcua2Vwb3NzLnBsdWdpbi52MS5FbXB0eRoXLmtlcG9zcy5wbHVnaW4udjEuRW1wdHlCMFouZ2l0aHViLmNvbS9rZXBvc3Mva2Vwb3NzL3BsdWdpbnMvaW50ZXJuYWwvd2lyZWIGcHJvdG8z
"""

_pool = descriptor_pool.DescriptorPool()
for _line in _DESCRIPTORS.split():
    _pool.Add(descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(_line)))


def message(name):
    """The class of a message of keposs.plugin.v1."""
    d = _pool.FindMessageTypeByName("keposs.plugin.v1." + name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(d)
    return message_factory.MessageFactory(_pool).GetPrototype(d)


class Error(Exception):
    """A failure with a code of the protocol and what to do; never a secret."""

    def __init__(self, code, text, current=0):
        super().__init__(text)
        self.code, self.text, self.current = code, text, current  # current: of a store's conflict


def _wire(op, e):
    if not isinstance(e, Error):
        print("%s: %s" % (op, type(e).__name__), file=sys.stderr)  # its text may hold a sample
        e = Error("internal", "the plugin failed with " + type(e).__name__)
    return message("Error")(code=CODES.get(e.code, 24), op=op[:128], msg=e.text[:1000], current=e.current), e


def _varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(n, b):
    return _varint(n << 3 | 2) + _varint(len(b)) + b


def _abort(context, op, e):
    """End a unary call with the Error as a detail of google.rpc.Status."""
    m, e = _wire(op, e)
    code = _STATUS.get(e.code, 13)
    detail = _field(1, b"type.googleapis.com/keposs.plugin.v1.Error") + _field(2, m.SerializeToString())
    status = b"\x08" + _varint(code) + _field(2, e.text.encode()) + _field(3, detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status),))
    for c in grpc.StatusCode:
        if c.value[0] == code:
            context.abort(c, e.text)


def unary(op, request, do):
    return _watched(op, request, lambda req, waits: do(req))


def _watched(op, request, do):
    """A method that is told whether its caller still waits."""
    def call(req, context):
        try:
            return do(req, context.is_active)
        except Exception as e:
            _abort(context, op, e)
    return grpc.unary_unary_rpc_method_handler(call, request.FromString, lambda m: m.SerializeToString())


def _raw(answer):
    """A method that answers these bytes whatever it is asked."""
    return grpc.unary_unary_rpc_method_handler(lambda req, context: answer(), bytes, bytes)


def secret(b):
    return message("Secret")(plain=bytes(b))


def prompt(kinds, text="", label="", purpose=0, index=1, total=1, refusal="", min_len=0, max_len=0):
    """A prompt for a source to yield: purpose 1 enrol, 2 confirm, 3 recover."""
    return message("Prompt")(kinds=kinds, text=text, label=label, purpose=purpose, index=index, total=total,
                             refusal=refusal, min_len=min_len, max_len=max_len)


class Settings(dict):
    """The values of Configure; unknown names change nothing."""

    def __init__(self, kind, schema):
        super().__init__()
        self.kind, self.schema = kind, schema

    def configure(self, req):
        for name in list(req.values) + list(req.secrets):
            if name not in self.schema:
                raise Error("invalid", "unknown setting %.32s, want %s" % (name, ", ".join(self.schema) or "none"))
        self.update(req.values)
        return message("Empty")()

    def fields(self):
        return [message("ConfigField")(name=n, type="string", help=h) for n, h in self.schema.items()]


def _certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    return (key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            cert.public_bytes(pem), cert.public_bytes(serialization.Encoding.DER))


ENDING = []  # what a plugin closes before it ends


def _end():
    for close in ENDING:
        try:
            close()
        except Exception as e:
            print("close: " + type(e).__name__, file=sys.stderr)
    sys.stderr.flush()
    os._exit(0)


def _life_line():
    while os.read(0, 4096):
        pass
    _end()


def serve(kind, name, version, service, methods):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold samples
    key, cert, der = _certificate()
    info = message("PluginInfo")(kind=kind, name=name, version=version)
    control = {
        "Describe": unary("control: describe", message("DescribeRequest"), lambda req: info),
    }
    server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", _MAX), ("grpc.max_send_message_length", _MAX)])

    def shutdown():
        threading.Timer(0.05, _end).start()
        return b""

    for path, calls in (("keposs.plugin.v1.Control", control), ("keposs.plugin.v1." + service, methods),
                        ("grpc.health.v1.Health", {"Check": _raw(lambda: b"\x08\x01")}),
                        ("plugin.GRPCController", {"Shutdown": _raw(shutdown)})):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(path, calls),))
    sock = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin.sock")
    server.add_secure_port("unix:" + sock, grpc.ssl_server_credentials(
        [(key, cert)], os.environ["PLUGIN_CLIENT_CERT"].encode(), require_client_auth=True))
    server.start()
    print("1|1|unix|%s|grpc|%s" % (sock, base64.b64encode(der).decode().rstrip("=")), flush=True)
    os.dup2(2, 1)  # nothing follows the handshake, rule P4
    _life_line()


def serve_sensor(name, version, model, kinds, sample, settings=None):
    """Serve sample(prompt, settings) -> bytes as a sensor; it does not return.

    kinds are those of core.SampleKind; settings maps names to their help."""
    own = Settings("sensor", settings or {})
    info = message("SensorInfo")(name=name, version=version, samples=kinds, model=model, schema=own.fields())

    def take(req):
        fit = [k for k in req.kinds if k in kinds]
        if not fit:
            raise Error("unsupported", "this sensor takes " + ", ".join(kinds))
        return message("Sample")(kind=fit[0], model=model, data=secret(sample(req, own)))

    serve("sensor", name, version, "Sensor", {
        "Describe": unary(name + ": describe", message("Empty"), lambda req: info),
        "Configure": unary(name + ": configure", message("Config"), own.configure),
        "Sample": unary(name + ": sample", message("Prompt"), take),
    })


def _drive(name, steps, requests, reply, context):
    """Run a source's generator: prompts out, samples in; its value is the end."""
    answer = None
    try:
        while True:
            try:
                p = steps.send(answer)
            except StopIteration as end:
                return end.value
            yield reply(prompt=p)
            frame = next(requests, None)
            if frame is None:
                raise Error("canceled", "the host ended the collection")
            if frame.HasField("refused"):
                code = [n for n, i in CODES.items() if i == frame.refused.code] or ["internal"]
                raise Error(code[0], frame.refused.msg)
            if not frame.HasField("sample") or frame.sample.kind not in p.kinds:
                raise Error("invalid", "the prompt was not answered with a sample of its kinds")
            answer = frame.sample
    finally:
        steps.close()


def serve_source(info, enroll, collect, settings=None):
    """Serve a source; it does not return. info are the fields of SourceInfo.

    enroll(request, settings) yields prompts and returns the fields of
    Enrollment, with the secret as bytes. collect(request, settings) yields
    prompts and returns recover(helper, bind_key) -> bytes, which always gives a
    secret of full length."""
    own = Settings("source", settings or {})
    described = message("SourceInfo")(schema=own.fields(), **info)
    name = info["name"]

    def enrolling(requests, context):
        reply = message("EnrollResponse")
        try:
            start = next(requests).start
            if start.format not in (0, *info["formats"]):
                raise Error("unsupported", "format %d is not served" % start.format)
            known = [p.name for p in described.params]
            for param in start.params:
                if param not in known:
                    raise Error("invalid", "unknown parameter %.32s" % param)
            done = yield from _drive(name, enroll(start, own), requests, reply, context)
            done["secret"] = secret(done["secret"])
            yield reply(done=message("Enrollment")(**done))
        except Exception as e:
            yield reply(error=_wire(name + ": enroll", e)[0])

    def collecting(requests, context):
        reply = message("CollectResponse")
        try:
            start = next(requests).start
            if start.format not in (0, *info["formats"]):
                raise Error("unsupported", "format %d is not served" % start.format)
            recover = yield from _drive(name, collect(start, own), requests, reply, context)
            yield reply(captured=message("Captured")())
            frame = next(requests, None)
            if frame is None:
                return
            if not frame.HasField("recover"):
                raise Error("invalid", "want recover after captured")
            key = frame.recover.bind_key.plain if frame.recover.HasField("bind_key") else None
            yield reply(secret=secret(recover(frame.recover.helper, key)))
        except Exception as e:
            yield reply(error=_wire(name + ": collect", e)[0])

    def stream(call, request):
        return grpc.stream_stream_rpc_method_handler(call, message(request).FromString, lambda m: m.SerializeToString())

    serve("source", name, info["version"], "Source", {
        "Describe": unary(name + ": describe", message("Empty"), lambda req: described),
        "Configure": unary(name + ": configure", message("Config"), own.configure),
        "Enroll": stream(enrolling, "EnrollRequest"),
        "Collect": stream(collecting, "CollectRequest"),
    })


def serve_kdf(name, version, params, default, derive, memory=lambda p: 0):
    """Serve a key derivation; it does not return.

    params maps each parameter to (least, most, help), default to its usual
    value. derive(params, secret, salt, length, waits) -> bytes stops soon after
    waits() turns false. memory(params) is what it needs, in bytes."""
    fields = [message("ParamInfo")(key=k, min=v[0], max=v[1], help=v[2]) for k, v in sorted(params.items())]

    def made(values):
        return message("Params")(name=name, values=[message("Param")(key=k, n=n) for k, n in sorted(values.items())])

    def checked(m):
        """The values, within the absolute bounds, before any work."""
        keys = [v.key for v in m.values]
        if m.name != name or keys != sorted(params):
            raise Error("invalid", "want the parameters %s of %s, sorted, each once" % (", ".join(sorted(params)), name))
        for v in m.values:
            if v.n < params[v.key][0]:
                raise Error("invalid", "%s=%d is below %d" % (v.key, v.n, params[v.key][0]))
            if v.n > params[v.key][1]:
                raise Error("too-large", "%s=%d is above %d" % (v.key, v.n, params[v.key][1]))
        return {v.key: v.n for v in m.values}

    def within(m, limits):
        p = checked(m)
        for k, n in p.items():
            if n < limits.floor.get(k, 0) or n > limits.ceiling.get(k, n):
                raise Error("invalid", "%s=%d is outside the limits of this machine" % (k, n))
        if memory(p) > (limits.max_memory or 1 << 30):
            raise Error("too-large", "it needs %d bytes of memory, more than is allowed" % memory(p))
        return p

    def calibrate(req, waits):
        """Scale the one parameter called t, the rounds, to the time wanted."""
        if req.target_ns <= 0:
            raise Error("invalid", "want a target above zero")
        low = {k: max(v[0], req.limits.floor.get(k, 0)) for k, v in params.items()}
        high = {k: min(v[1], req.limits.ceiling.get(k, v[1])) for k, v in params.items()}
        p = {k: min(max(default[k], low[k]), high[k]) for k in params}
        if any(low[k] > high[k] for k in params):
            raise Error("invalid", "a floor is above its ceiling")
        p["t"] = probe = min(max(4, params["t"][0]), params["t"][1])
        best = None
        for _ in range(3):
            start = time.perf_counter_ns()
            derive(p, b"calibration", bytes(16), 32, waits)
            took = time.perf_counter_ns() - start
            best = took if best is None else min(best, took)
        p["t"] = min(max(round(req.target_ns * probe / best), low["t"]), high["t"])
        within(made(p), req.limits)
        return message("CalibrateResponse")(params=made(p))

    def answer(req, waits):
        p = checked(req.params)
        if not req.HasField("secret"):
            raise Error("invalid", "the secret is missing")
        if len(req.salt) < 8 or req.length < 1:
            raise Error("invalid", "want a salt of 8 bytes and an output of one at least")
        if len(req.salt) > 1024 or req.length > 1 << 16:
            raise Error("too-large", "a salt has at most 1024 bytes, an output 65536")
        return message("DeriveResponse")(out=secret(derive(p, req.secret.plain, req.salt, req.length, waits)))

    info = message("KDFInfo")(name=name, version=version, params=fields, default=made(default))
    serve("kdf", name, version, "KDF", {
        "Describe": unary(name + ": describe", message("Empty"), lambda req: info),
        "Validate": unary(name + ": validate", message("ValidateRequest"), lambda req: within(req.params, req.limits) and message("Empty")()),
        "Calibrate": _watched(name + ": calibrate", message("CalibrateRequest"), calibrate),
        "Derive": _watched(name + ": derive", message("DeriveRequest"), answer),
    })
