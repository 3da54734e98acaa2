"""What happened in the sample estate: a cold chain from 2023 to 2024, in order of time."""

from collections.abc import Callable

from attachfs.demo import estate_files as files
from attachfs.demo.estate_paintings import harbour, thermometer
from attachfs.demo.estate_steps import Attached, Creation, Happening, Named, Upload

_LOG_READINGS = 128_000


def _certificate() -> bytes:
    return files.pdf(
        "Certificate of inspection",
        "Refrigerated container CRXU 552210-7",
        "Insulation, seals and drains: in order.",
        "Inspected at Rotterdam on 14 March 2023.",
    )


def _firmware(version: str, serial: str, tls: str) -> Callable[[], bytes]:
    return lambda: files.sbom(
        "coldsense", version, serial, ("freertos", "10.5.1"), ("mbedtls", tls), ("lwip", "2.1.3")
    )


HISTORY: tuple[Upload | Creation | Happening, ...] = (
    # --- a light recorded under the old name of the service, in its old form ------------------
    Upload(
        name="light-photo",
        at="2023-01-09T08:58:10Z",
        content=lambda: files.png(64, 96, thermometer),
    ),
    Creation(
        name="light",
        at="2023-01-09T09:00:00Z",
        attributes={
            "arc_display_name": "Dock light 11",
            "arc_display_type": "Traffic light",
            "arc_description": "Signal at gate 3 of the cold store, recorded before 2023-02",
            "arc_serial_number": "vtl-x4-11",
            "arc_attachments": [
                Attached("light-photo", display_name="arc_primary_image", old_form=True)
            ],
        },
    ),
    Upload(
        name="light-report",
        at="2023-01-20T14:01:00Z",
        content=lambda: files.text("Conformance report 1.6", "Lamp, timing and housing conform."),
        scan=("SCANNED_OK", ""),
    ),
    Happening(
        of="light",
        name="light-attach",
        at="2023-01-20T14:02:30Z",
        behaviour="Attachments",
        operation="Attach",
        event={
            "arc_append_attachments": [
                Attached("light-report", display_name="Conformance report", old_form=True)
            ]
        },
    ),
    Happening(
        of="light",
        name="light-inspection",
        at="2023-02-02T10:15:00Z",
        event={
            "arc_display_type": "Safety Conformance",
            "arc_description": "Checked against the report of January",
            "arc_attachments": [
                Attached("light-report", display_name="Report as checked", old_form=True)
            ],
        },
    ),
    # --- the container and its papers ----------------------------------------------------------
    Upload(
        name="container-photo",
        at="2023-03-01T11:28:00Z",
        content=lambda: files.jpeg(64, 40, harbour),
    ),
    Creation(
        name="container",
        at="2023-03-01T11:30:00Z",
        attributes={
            "arc_display_name": "Container CRXU 552210-7",
            "arc_display_type": "Refrigerated container",
            "arc_description": "40 ft high-cube reefer of the Rotterdam to Felixstowe line",
            "arc_primary_image": Attached("container-photo", "reefer at quay.jpg"),
        },
    ),
    Upload(name="certificate", at="2023-03-14T15:40:00Z", content=_certificate),
    Happening(
        of="container",
        name="container-inspection",
        at="2023-03-14T15:45:12Z",
        event={
            "arc_display_type": "Inspection",
            "arc_description": "Yearly inspection passed",
            "inspection_certificate": Attached(
                "certificate", "certificate.pdf", "Certificate of inspection"
            ),
        },
        asset={"latest_certificate": Attached("certificate", "certificate.pdf")},
    ),
    # --- the sensor, whose bill of materials is superseded -------------------------------------
    Upload(
        name="sensor-photo",
        at="2023-04-03T07:00:00Z",
        content=lambda: files.png(128, 128, thermometer),
    ),
    Creation(
        name="sensor",
        at="2023-04-03T07:05:00Z",
        attributes={
            "arc_display_name": "Temperature sensor CS-0417",
            "arc_display_type": "Sensor",
            "arc_description": "Reports the air in CRXU 552210-7 every minute",
            "arc_primary_image": Attached("sensor-photo", "CS-0417.png"),
        },
    ),
    Upload(
        name="firmware-1",
        at="2023-04-04T09:00:00Z",
        content=_firmware("1.2.0", "3e671687-395b-41f5-a30f-a58921a69b79", "2.28.2"),
    ),
    Happening(
        of="sensor",
        name="sensor-firmware-1",
        at="2023-04-04T09:10:00Z",
        event={"arc_display_type": "Firmware", "arc_description": "coldsense 1.2.0 installed"},
        asset={"firmware_sbom": Attached("firmware-1", "coldsense-1.2.0.cdx.json")},
    ),
    Upload(
        name="firmware-2",
        at="2023-11-21T16:30:00Z",
        content=_firmware("1.3.1", "7d0f8a5c-0b3b-4b5e-8d52-4f3d6f6f2f0e", "2.28.5"),
    ),
    Happening(
        of="sensor",
        name="sensor-firmware-2",
        at="2023-11-21T16:42:00Z",
        event={"arc_display_type": "Firmware", "arc_description": "coldsense 1.3.1 installed"},
        asset={"firmware_sbom": Attached("firmware-2", "coldsense-1.3.1.cdx.json")},
    ),
    # --- what is open to everybody, and what has been retired ----------------------------------
    Creation(
        name="conformity",
        at="2024-01-08T10:00:00Z",
        public=True,
        attributes={
            "arc_display_name": "Cold chain conformity statement",
            "arc_display_type": "Statement",
            "arc_description": "Open to customers: what the operator certifies",
            "statement": Attached("certificate", "certificate.pdf", "Certificate"),
        },
    ),
    Upload(
        name="statement-note",
        at="2024-01-15T10:00:00Z",
        content=lambda: files.text("Renewed for 2024.", "Gültig bis 31. Dezember 2024."),
    ),
    Happening(
        of="conformity",
        name="conformity-renewal",
        at="2024-01-15T10:05:00Z",
        event={
            "arc_display_type": "Renewal",
            "arc_description": "Renewed for 2024",
            "note": Attached("statement-note", "erläuterung 2024.txt"),
        },
    ),
    Upload(
        name="gateway-manual",
        at="2024-01-30T12:00:00Z",
        content=lambda: files.text("Gateway GW-2", "Hold the button for 10 s to reset."),
    ),
    Creation(
        name="gateway",
        at="2024-01-30T12:10:00Z",
        attributes={
            "arc_display_name": "Gateway GW-2",
            "arc_display_type": "Gateway",
            "arc_description": "Retired in 2024",
            "manual": Attached("gateway-manual", "manual.txt"),
        },
    ),
    Happening(
        of="gateway",
        name="gateway-retired",
        at="2024-02-29T18:00:00Z",
        behaviour="Builtin",
        operation="StopTracking",
    ),
    # --- a voyage ------------------------------------------------------------------------------
    Upload(
        name="packing-list",
        at="2024-05-02T06:12:00Z",
        content=lambda: files.text("4 pallets blueberries", "6 pallets vaccines, keep at 4 C"),
    ),
    Upload(name="empty-remarks", at="2024-05-02T06:12:30Z", content=lambda: b""),
    Happening(
        of="container",
        name="container-loading",
        at="2024-05-02T06:20:00Z",
        event={
            "arc_display_type": "Loading",
            "arc_description": "Loaded and sealed; remarks: none",
            "documents/loading/packing_list_txt": Attached(
                "packing-list", "loading/packing list.txt", "Packing list"
            ),
            "remarks": Attached("empty-remarks", "remarks.txt"),
        },
    ),
    Upload(
        name="temperature-log",
        at="2024-05-06T04:50:00Z",
        content=lambda: files.sensor_log(_LOG_READINGS),
    ),
    Happening(
        of="container",
        name="container-arrival",
        at="2024-05-06T05:00:00Z",
        event={
            "arc_display_type": "Arrival",
            "arc_description": "Landed at Felixstowe, temperature log attached",
            "temperature_log": Attached("temperature-log", "temperature.csv", "Temperature log"),
            "sensor_firmware": Attached("firmware-2", "coldsense-1.3.1.cdx.json"),
        },
    ),
    # --- a lot of coffee: the odd ones ---------------------------------------------------------
    Creation(
        name="coffee",
        at="2024-06-10T08:00:00Z",
        attributes={
            "arc_display_name": "Coffee lot 2024-017",
            "arc_display_type": "Lot",
            "arc_description": "60 bags, washed, from Huehuetenango",
        },
    ),
    Upload(
        name="cupping-1",
        at="2024-06-12T09:00:00Z",
        content=lambda: files.text("Cupping, table 1: 84.25"),
    ),
    Upload(
        name="cupping-2",
        at="2024-06-12T09:01:00Z",
        content=lambda: files.text("Cupping, table 2: 85.00"),
    ),
    Happening(
        of="coffee",
        name="coffee-cupping",
        at="2024-06-12T09:30:00Z",
        event={
            "arc_display_type": "Cupping",
            "arc_description": "Two tables",
            "sheets": [
                Attached("cupping-1", "table.txt", "Table 1"),
                Attached("cupping-2", "table.txt", "Table 2"),
            ],
            "recording_identity": Named("cupping-1"),
        },
    ),
    Happening(
        of="coffee",
        name="coffee-contract",
        at="2024-06-20T13:00:00Z",
        event={
            "arc_display_type": "Contract",
            "arc_description": "Kept by the notary, only its digest is recorded here",
            "arc_blob_hash_value": "5f1d0c8b4b6ab0c1" * 4,
            "arc_blob_hash_alg": "SHA256",
            "arc_file_name": "contract.pdf",
        },
    ),
    Upload(
        name="delivery-note",
        at="2024-07-01T07:30:00Z",
        content=lambda: files.text("Delivery note 8841", "60 bags of 69 kg, seal unbroken"),
    ),
    Upload(
        name="bad-invoice",
        at="2024-07-01T07:31:00Z",
        content=lambda: files.text(
            "This harmless text stands in for malware.",
            "The embedded archive reports it as SCANNED_BAD.",
        ),
        scan=("SCANNED_BAD", "stand-in for malware, harmless"),
    ),
    Happening(
        of="coffee",
        name="coffee-delivery",
        at="2024-07-01T07:40:00Z",
        event={
            "arc_display_type": "Delivery",
            "arc_description": "Delivered to the roastery; the invoice's file looks odd",
            "delivery_note": Attached("delivery-note", "delivery note.txt"),
            "invoice": Attached("bad-invoice", "invoice.pdf.exe", "Invoice"),
        },
    ),
)
